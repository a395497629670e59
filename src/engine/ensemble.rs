//! Ensembles: several networks that are trained on the same batches, side by side.
//!
//! Each thread of a crew has an engine for one network. A free thread takes the next stretch of batches of the next member: its weights stay in the cache of the core meanwhile. The data is read once
//! for each member, which costs little beside a step. Within a job of some stretches, a thread waits for another one only if that has the member whose turn it is.
//! No result depends on who computes it, because all engines have the same number of threads.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::Array2;

use super::evaluation::Output;
use super::kernels::mean::mean_outputs;
use super::network::{Changed, NetworkEngine};
use super::workers::{Member, Workers};
use super::workspace::EVALUATION_ROWS;
use super::{Broken, EngineOptions, Score, Steps, Trained};
use crate::data::Dataset;
use crate::error::Result;
use crate::isa::Isa;
use crate::model::{Layout, Spec, Tensor};
use crate::rng::member_seed;

/// The samples of a stretch, about. The parameters of a member are converted at both ends of one, which costs 1 to 2 % of so many samples.
const STRETCH: usize = 4096;

/// The fewest, where many members wait for their turn: whoever asks for a stop waits for all of them.
const SHORTEST_STRETCH: usize = 1024;

/// The most stretches of each member in one job, after which the crew synchronises.
const STRETCHES: usize = 64;

/// The most scores of steps, of all members, in one job, if it has more than one stretch.
const SCORES: usize = 1 << 20;

/// The most outputs of all members that wait to be averaged, if these are more than those of one chunk of rows.
const OUTPUTS: usize = 1 << 22;

/// The most rows of an evaluation that a member takes at a time.
const ROWS: usize = 2048;

/// The threads that take members side by side, each with an engine, which may have further threads of its own.
#[derive(Debug)]
pub struct Crew {
    workers: Workers,
    /// The seed of each member.
    seeds: Vec<u64>,
    /// The samples of a stretch.
    stretch: usize,
    /// Of the steps of a job, member by member.
    scores: Vec<Score>,
}

/// Starts a crew, and an engine for each of its threads.
pub fn start(spec: &Spec, options: EngineOptions, isa: Isa) -> Result<(Crew, Vec<NetworkEngine>)> {
    let EngineOptions { backend, threads, seed, .. } = options;
    options.check_threads()?;
    let members = spec.members();
    let side_by_side = threads.min(members);
    let own = options.with(|own| own.threads = threads / side_by_side);
    let engines = (0..side_by_side)
        .map(|_| NetworkEngine::new(&spec.member(), own, isa))
        .collect::<Result<_>>()?;
    let workers = Workers::new(side_by_side, move || backend.prepare_thread())?;
    let turns = members.div_ceil(4 * side_by_side);
    let stretch = (STRETCH / turns).max(SHORTEST_STRETCH);
    let seeds = (0..members).map(|k| member_seed(seed, k)).collect();
    Ok((Crew { workers, seeds, stretch, scores: Vec::new() }, engines))
}

/// What all members are trained on.
pub struct Pass<'a> {
    pub steps: &'a dyn Steps,
    pub data: &'a Dataset,
    pub order: &'a [u32],
    pub batch_size: usize,
}

/// A member in a job, and how far it is.
struct Trainee<'a> {
    seed: u64,
    /// How its tensors learn.
    tensors: &'a [Tensor],
    state: Changed<'a>,
    /// The steps of the job that it has taken.
    taken: usize,
    broken: Option<Broken>,
}

/// The scores of the steps of a job that a member has taken, for whoever reports them while the member goes on.
struct Scores<'a> {
    scores: &'a mut [Score],
    taken: usize,
}

/// Which stretches are handed out.
struct Stretches {
    /// How many were, of all members; one stretch of all members follows another.
    drawn: usize,
    /// How many each member has, until a stop is requested.
    most: usize,
}

impl Crew {
    /// Trains all members on the batches of a pass. `on_step` is called on this thread for each step that all of them have taken, in order, with the mean of their scores; if it
    /// asks to stop, all members end with the stretch that is farthest. Counts the steps, but not in the state.
    pub fn train(
        &mut self,
        engines: &mut [NetworkEngine],
        layout: &Layout,
        mut state: Changed<'_>,
        pass: &Pass<'_>,
        mut on_step: impl FnMut(Score) -> ControlFlow<()>,
    ) -> Trained {
        state.require_len(layout.len());
        assert!(pass.batch_size > 0, "train: batch size 0; expected at least 1");
        let stretch = self.stretch.div_ceil(pass.batch_size) * pass.batch_size;
        let mut trained = Trained { score: Score::default(), steps: 0, broken: None };
        let scores = layout.members() * (stretch / pass.batch_size);
        let stretches = (SCORES / scores).clamp(1, STRETCHES);
        for order in pass.order.chunks(stretches * stretch) {
            let job = Pass { order, ..*pass };
            let mut asked_to_stop = false;
            let broken = self.job(engines, layout, &mut state, &job, stretch, &mut |score| {
                trained.score += score;
                trained.steps += 1;
                asked_to_stop |= !score.loss_sum.is_finite() || on_step(score).is_break();
                asked_to_stop
            });
            trained.broken = broken;
            if asked_to_stop || broken.is_some() {
                break;
            }
        }
        trained
    }

    /// Trains all members for at most [`STRETCHES`] stretches. `on_step` says whether it asks to stop.
    fn job(
        &mut self,
        engines: &mut [NetworkEngine],
        layout: &Layout,
        state: &mut Changed<'_>,
        pass: &Pass<'_>,
        stretch: usize,
        on_step: &mut dyn FnMut(Score) -> bool,
    ) -> Option<Broken> {
        let Self { workers, scores, seeds, .. } = self;
        let (count, before) = (layout.members(), state.steps);
        let steps = pass.order.len().div_ceil(pass.batch_size);
        scores.clear();
        scores.resize(count * steps, Score::default());
        let scores = scores.chunks_exact_mut(steps);
        let scores: Vec<_> = scores.map(|scores| Mutex::new(Scores { scores, taken: 0 })).collect();
        let trainees = trainees(seeds, layout, state);
        let engines: Vec<_> = engines.iter_mut().map(Mutex::new).collect();
        let stretches = Stretches { drawn: 0, most: pass.order.len().div_ceil(stretch) };
        let stretches = Mutex::new(stretches);
        let mut reported = 0;
        let end_early = || {
            let mut stretches = lock(&stretches);
            stretches.most = stretches.most.min(stretches.drawn.div_ceil(count));
        };
        let mut report = || {
            if report(&scores, before, &mut reported, on_step) {
                end_early();
            }
        };
        let draw = || {
            let mut stretches = lock(&stretches);
            (stretches.drawn < stretches.most * count).then(|| {
                stretches.drawn += 1;
                (stretches.drawn - 1) % count
            })
        };
        let work = |member: &Member<'_>, k: usize| {
            // a thread's own engine; whoever draws a member's stretch takes the first that is left: it may have overtaken another thread
            let mut engine = lock(&engines[member.number()]);
            if !lock(&trainees[k]).advance(&mut engine, &scores[k], pass, stretch) {
                end_early();
            }
        };
        workers.run(
            |member| {
                while let Some(k) = draw() {
                    work(member, k);
                    report();
                }
            },
            &|member: &Member<'_>| {
                while let Some(k) = draw() {
                    work(member, k);
                }
            },
        );
        report();
        let ends = trainees.iter().map(lock).filter_map(|one| Some((one.taken, one.broken?)));
        let first = ends.min_by_key(|(taken, _)| *taken);
        state.steps += reported as u64;
        first.map(|(_, broken)| broken)
    }

    /// Makes an engine that of a member.
    pub fn prepare(&self, engine: &mut NetworkEngine, layout: &Layout, k: usize) {
        engine.become_member(self.seeds[k], layout.member_tensors(k));
    }

    /// Does something with the parameters of each member, on an engine that is that member's.
    pub fn each_member(
        &mut self,
        engines: &mut [NetworkEngine],
        layout: &Layout,
        params: &mut [f32],
        act: impl Fn(&mut NetworkEngine, &mut [f32]) + Sync,
    ) {
        let engines: Vec<_> = engines.iter_mut().map(Mutex::new).collect();
        let Self { workers, seeds, .. } = self;
        let params = params.chunks_exact_mut(layout.member(0).len()).enumerate();
        let rest = Mutex::new(params);
        let work = |member: &Member<'_>| {
            let mut engine = lock(&engines[member.number()]);
            loop {
                let next = lock(&rest).next();
                let Some((k, params)) = next else { break };
                engine.become_member(seeds[k], layout.member_tensors(k));
                act(&mut engine, params);
            }
        };
        workers.run(work, &work);
    }

    /// The outputs of an ensemble for some samples, (rows, n_out), as those of one network: see [`mean_outputs`].
    pub fn outputs(
        &mut self,
        engines: &mut [NetworkEngine],
        layout: &Layout,
        params: &[f32],
        data: &Dataset,
        rows: &[u32],
    ) -> Array2<f32> {
        assert_eq!(params.len(), layout.len(), "params do not have the layout's length");
        let (count, n_out, loss) = (layout.members(), engines[0].spec.n_out(), engines[0].loss);
        let engines: Vec<_> = engines.iter_mut().map(Mutex::new).collect();
        // whole chunks of an evaluation
        let most = (OUTPUTS / (count * n_out)).max(EVALUATION_ROWS) / EVALUATION_ROWS;
        let at_a_time = (ROWS / EVALUATION_ROWS).min(most) * EVALUATION_ROWS;
        let mut means = Vec::with_capacity(rows.len() * n_out);
        for rows in rows.chunks(most * EVALUATION_ROWS) {
            let blocks: Vec<&[u32]> = rows.chunks(at_a_time).collect();
            let outputs: Vec<_> = (0..blocks.len() * count).map(|_| Mutex::default()).collect();
            let next = AtomicUsize::new(0);
            let work = |member: &Member<'_>| {
                let mut engine = lock(&engines[member.number()]);
                loop {
                    // Relaxed: only the number is passed on here
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(to) = outputs.get(number) else { break };
                    let (block, k) = (blocks[number / count], number % count);
                    let params = &params[layout.member(k)];
                    *lock(to) = engine.outputs(params, data, block, Output::Raw);
                }
            };
            self.workers.run(work, &work);
            let outputs: Vec<Array2<f32>> =
                outputs.into_iter().map(|one| one.into_inner().unwrap_or_default()).collect();
            for members in outputs.chunks_exact(count) {
                let members: Vec<&[f32]> =
                    members.iter().filter_map(|outputs| outputs.as_slice()).collect();
                mean_outputs(&members, n_out, loss, &mut means);
            }
        }
        match Array2::from_shape_vec((rows.len(), n_out), means) {
            Ok(means) => means,
            Err(_) => unreachable!("every row has its outputs"),
        }
    }
}

impl Trainee<'_> {
    /// Trains the next stretch, unless the member is broken; returns whether it is whole.
    fn advance(
        &mut self,
        engine: &mut NetworkEngine,
        scores: &Mutex<Scores<'_>>,
        pass: &Pass<'_>,
        stretch: usize,
    ) -> bool {
        if self.broken.is_some() {
            return false;
        }
        let rest = &pass.order[self.taken * pass.batch_size..];
        let order = &rest[..stretch.min(rest.len())];
        let Self { seed, tensors, state, taken, .. } = self;
        engine.become_member(*seed, tensors);
        let state = Changed {
            params: state.params,
            m: state.m,
            v: state.v,
            average: state.average,
            steps: state.steps + *taken as u64,
        };
        let trained = engine.train(state, pass.steps, pass.data, order, pass.batch_size, |score| {
            lock(scores).add(score);
            ControlFlow::Continue(())
        });
        self.taken += trained.steps as usize;
        self.broken = trained.broken;
        if !trained.score.loss_sum.is_finite() {
            // the step that broke it was not reported
            lock(scores).add(Score { loss_sum: f64::NAN, ..Score::default() });
        }
        self.broken.is_none()
    }
}

impl Scores<'_> {
    fn add(&mut self, score: Score) {
        self.scores[self.taken] = score;
        self.taken += 1;
    }
}

/// The members with what each of them changes.
fn trainees<'a>(
    seeds: &[u64],
    layout: &'a Layout,
    state: &'a mut Changed<'_>,
) -> Vec<Mutex<Trainee<'a>>> {
    let len = layout.member(0).len();
    let mut average = state.average.chunks_exact_mut(len);
    let steps = state.steps;
    let vectors = (state.params.chunks_exact_mut(len))
        .zip(state.m.chunks_exact_mut(len))
        .zip(state.v.chunks_exact_mut(len));
    (seeds.iter().enumerate().zip(vectors))
        .map(|((k, &seed), ((params, m), v))| {
            let (average, tensors) = (average.next().unwrap_or_default(), layout.member_tensors(k));
            let state = Changed { params, m, v, average, steps };
            Mutex::new(Trainee { seed, tensors, state, taken: 0, broken: None })
        })
        .collect()
}

/// Reports the steps that all members have taken and that were not reported; returns whether a stop is requested. So many steps were taken before the job.
fn report(
    scores: &[Mutex<Scores<'_>>],
    before: u64,
    reported: &mut usize,
    on_step: &mut dyn FnMut(Score) -> bool,
) -> bool {
    let taken = scores.iter().map(|one| lock(one).taken).min().unwrap_or(*reported);
    let mut asks = false;
    for step in *reported..taken {
        let mut sum = Score::default();
        scores.iter().for_each(|one| sum += lock(one).scores[step]);
        asks |= on_step(sum.mean_of(scores.len(), before + step as u64));
    }
    *reported = taken;
    asks
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Adam, Engine, State};
    use crate::gemm::Backend;
    use crate::model::{Init, initialize};
    use crate::rng::{Purpose, Rng};

    const SAMPLES: usize = 3000;

    fn data() -> Dataset {
        let mut rng = Rng::new(5, Purpose::Init, 0);
        let x = (0..SAMPLES * 5).map(|_| rng.symmetric()).collect();
        let x = Array2::from_shape_vec((SAMPLES, 5), x).unwrap_or_default();
        let labels: Vec<u32> =
            x.rows().into_iter().map(|x| u32::from(x[0] > x[1] * x[2])).collect();
        Dataset::from_arrays(x.view(), &labels).unwrap()
    }

    /// An ensemble with short stretches, and its state.
    fn ensemble(members: usize, threads: usize, stretch: usize) -> (Engine, State) {
        let spec = Spec::new(5, &[7, 6], &[], 2).unwrap().with_members(members).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![0.0; layout.len()];
        initialize(&mut params, &spec, &layout, Init::Auto, 3).unwrap();
        let options = EngineOptions::new(20);
        let options = options.with(|c| (c.backend, c.threads) = (Backend::Rust, threads));
        let mut engine = Engine::new(&spec, options).unwrap();
        if let Some(crew) = &mut engine.crew {
            crew.stretch = stretch;
        }
        (engine, State::new(&params).unwrap())
    }

    /// Trains until so many steps are reported; the reports, and what was trained.
    fn trained(
        (mut engine, mut state): (Engine, State),
        rate: f64,
        until: usize,
    ) -> (Vec<Score>, State, Trained) {
        let (data, adam) = (data(), Adam::default().with(|adam| adam.lr = rate));
        let order: Vec<u32> = (0..SAMPLES as u32).rev().collect();
        let mut scores = Vec::new();
        let trained = engine.train(&mut state, &adam, &data, &order, 20, |score| {
            scores.push(score);
            match scores.len() >= until {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        (scores, state, trained)
    }

    #[test]
    fn stretches_and_threads_change_nothing() {
        let (scores, state, _) = trained(ensemble(3, 1, SAMPLES), 0.01, usize::MAX);
        assert_eq!((scores.len(), state.steps()), (SAMPLES / 20, 150));
        assert!(scores[149].loss() < 0.5 * scores[0].loss(), "it learns");
        for threads in [1, 2, 3, 7] {
            // one batch, two, and more than a job has; the last one is shorter
            for stretch in [1, 40, 45, 600] {
                let found = trained(ensemble(3, threads, stretch), 0.01, usize::MAX);
                assert!(found.0 == scores, "{threads} {stretch}");
                let own = |state: &State| [state.params(), state.m(), state.v()].concat();
                assert!(threads == 7 || own(&found.1) == own(&state), "{threads} {stretch}");
            }
        }
    }

    #[test]
    fn members_are_networks_alone() {
        let (_, state, _) = trained(ensemble(3, 2, 100), 0.01, usize::MAX);
        let len = state.params().len() / 3;
        let (_, begun) = ensemble(3, 1, 100);
        for k in 0..3 {
            let (engine, _) = ensemble(1, 1, 0);
            let alone = State::new(&begun.params()[k * len..(k + 1) * len]).unwrap();
            let (_, alone, _) = trained((engine, alone), 0.01, usize::MAX);
            assert!(alone.params() == &state.params()[k * len..(k + 1) * len], "{k}");
        }
    }

    #[test]
    fn a_pass_that_is_stopped_ends_for_all_members_at_the_same_step() {
        for threads in [1, 2, 3] {
            let (scores, state, _) = trained(ensemble(3, threads, 60), 0.01, 20);
            let steps = scores.len();
            // three steps a stretch; others may be some stretches ahead of this thread
            assert!(steps.is_multiple_of(3) && steps >= 20, "{steps}");
            assert!(threads > 1 || steps == 21, "{steps}");
            assert_eq!(state.steps(), steps as u64);
            let (other, expected, _) = trained(ensemble(3, 1, 20), 0.01, steps);
            assert!(other == scores && expected.params() == state.params(), "{threads}");
        }
    }

    #[test]
    fn a_member_that_breaks_ends_the_pass() {
        for threads in [1, 2, 3] {
            let (mut engine, mut state) = ensemble(3, threads, 40);
            let len = state.params().len() / 3;
            // the second one alone, by weights near the largest number
            state.params[len..2 * len].iter_mut().for_each(|w| *w *= 1e30);
            let (data, order) = (data(), (0..SAMPLES as u32).collect::<Vec<_>>());
            let next = |_| ControlFlow::Continue(());
            let trained = engine.train(&mut state, &Adam::default(), &data, &order, 20, next);
            assert!(trained.broken.is_some() && trained.steps <= 2, "{trained:?}");
        }
    }

    #[test]
    fn outputs_are_means_whatever_the_blocks() {
        let (mut engine, state) = ensemble(3, 2, 40);
        let (data, rows) = (data(), (0..SAMPLES as u32).collect::<Vec<_>>());
        let all = engine.predict(state.params(), &data, &rows);
        assert_eq!(all.dim(), (SAMPLES, 2));
        let some = engine.predict(state.params(), &data, &rows[ROWS - 1..ROWS + 2]);
        assert_eq!(some, all.slice(ndarray::s![ROWS - 1..ROWS + 2, ..]));
        let mut mean = Array2::<f32>::zeros(all.dim());
        for k in 0..3 {
            let (mut alone, _) = ensemble(1, 1, 0);
            let own = engine.layout().member(k);
            mean += &(alone.predict(&state.params()[own], &data, &rows) / 3.0);
        }
        assert!(mean.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-6));
        let loss: f64 = (mean.rows().into_iter().zip(data.labels()))
            .map(|(row, label)| -f64::from(row[*label as usize]).ln())
            .sum();
        let score = engine.evaluate(state.params(), &data, &rows);
        assert!((score.loss_sum - loss).abs() < 1e-4 * loss && score.samples == SAMPLES as u64);
        assert!(engine.predict(state.params(), &data, &[]).is_empty());
    }
}
