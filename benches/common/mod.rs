//! What the benchmarks share: real data, the five architectures, an engine ready to train.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::ops::ControlFlow;

use densely::data::{Dataset, Part, Split, epoch_order, load};
use densely::engine::{Adam, Engine, EngineOptions, Score, State, default_threads};
use densely::gemm::Backend;
use densely::model::{Init, Spec, initialize};

/// The hidden sizes of the networks that densely is measured on.
pub const ARCHITECTURES: [[usize; 3]; 5] =
    [[784, 784, 784], [1024, 512, 256], [512, 256, 128], [256, 128, 64], [128, 64, 28]];

pub fn name(hidden: &[usize]) -> String {
    hidden.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}

pub fn mnist() -> Dataset {
    load("mnist").unwrap().data
}

/// A network in training.
pub struct Training<'d> {
    pub engine: Engine,
    state: State,
    data: &'d Dataset,
    rows: Vec<u32>,
    order: Vec<u32>,
    epoch: usize,
}

impl<'d> Training<'d> {
    pub fn new(data: &'d Dataset, hidden: &[usize], backend: Backend, batch_size: usize) -> Self {
        let spec = Spec::new(data.n_features(), hidden, &[], data.n_classes()).unwrap();
        let options = EngineOptions::new(batch_size).with(|c| {
            c.backend = backend;
            c.threads = default_threads();
        });
        let engine = Engine::new(&spec, options).unwrap();
        let mut params = vec![0.0; engine.layout().len()];
        initialize(&mut params, &spec, engine.layout(), Init::Auto, 0).unwrap();
        let state = State::new(&params).unwrap();
        let rows = Split::Pooled.apply(data, 0).unwrap().rows(Part::Train, data.len());
        Self { engine, state, data, rows, order: Vec::new(), epoch: 0 }
    }

    /// Shuffles and trains on the first `samples` of the epoch's order.
    pub fn pass(&mut self, batch_size: usize, samples: usize) -> Score {
        self.epoch += 1;
        epoch_order(&mut self.order, &self.rows, true, 0, self.epoch);
        let order = &self.order[..samples];
        let (state, adam) = (&mut self.state, Adam::default());
        self.engine
            .train(state, &adam, self.data, order, batch_size, |_| ControlFlow::Continue(()))
            .score
    }

    /// What was timed has to have learnt something.
    pub fn assert_learnt(&mut self) {
        let score = self.engine.evaluate(self.state.params(), self.data, &self.rows[..5_000]);
        assert!(score.accuracy() > 0.9, "after {} passes: {score:?}", self.epoch);
    }
}
