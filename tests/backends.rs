//! Which product ran: counted in a separate process, where nothing else computes.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::dataset;
use densely::engine::{Adam, Engine, EngineOptions, Isa, State};
use densely::gemm::{Backend, BackendChoice, Calls, calls};
use densely::model::Spec;

/// One step of a network with three layers and one worker: three products forward, two backward, three gradients.
fn count(backend: Backend) -> Calls {
    let data = dataset(20, 6, 3);
    let spec = Spec::new(6, &[5, 4], &[], 3).unwrap();
    let options = EngineOptions::new(20).with(|c| {
        c.backend = backend;
        c.threads = 1;
    });
    let mut engine = Engine::new(&spec, options).unwrap();
    let mut state = State::new(&vec![0.1; engine.layout().len()]).unwrap();
    let rows: Vec<u32> = (0..20).collect();
    let before = calls();
    engine.train(&mut state, &Adam::default(), &data, &rows, 20, |_| ControlFlow::Continue(()));
    let after = calls();
    Calls { blas: after.blas - before.blas, rust: after.rust - before.rust }
}

#[test]
fn the_backend_that_was_asked_for_does_all_the_work() {
    assert_eq!(count(Backend::Rust), Calls { blas: 0, rust: 8 });
    let blas = Backend::of(BackendChoice::Blas);
    assert_eq!(blas.is_ok(), cfg!(feature = "openblas"));
    match blas {
        Ok(blas) => {
            assert_eq!(count(blas), Calls { blas: 8, rust: 0 });
            assert!(blas.describe().starts_with("OpenBLAS "), "{}", blas.describe());
            // the best that the CPU has, but OpenBLAS for a large network in small batches
            let vectors = Isa::detect().has_vectors();
            assert_eq!(Backend::auto(), if vectors { Backend::Rust } else { blas });
            let auto = |parameters, batch| {
                Backend::for_training(BackendChoice::Auto, parameters, batch).unwrap()
            };
            assert_eq!(auto(20_000_000, 100), blas);
            assert_eq!(auto(20_000_000, 1000), Backend::auto());
            assert_eq!(auto(20_000, 100), Backend::auto());
            let chosen = Backend::for_training(BackendChoice::Rust, 20_000_000, 100).unwrap();
            assert_eq!(chosen, Backend::Rust);
        }
        Err(error) => {
            assert!(error.to_string().contains("feature `openblas`"), "{error}");
            assert_eq!(Backend::auto(), Backend::Rust);
        }
    }
}
