//! The peers in Rust: one training of the same network in Burn or candle, an epoch on demand.
//!
//! ```text
//! densely-peers burn --data FOLDER --rows 50000 --inputs 784 --classes 10 \
//!     --hidden 512,256,128 --batch 500
//! ```
//!
//! It speaks as `peers.py` does: it trains one epoch to warm up and says so in a line of JSON,
//! reads the number of epochs to train from each line of standard input, answers with their
//! seconds and losses, and at the end of the input says how many of the training rows it gets
//! right.
//!
//! FOLDER has `x.f32`, the inputs as little-endian floats row by row, and `y.u8`, the classes.

mod burn_peer;
mod candle_peer;
mod rows;

use std::io::{BufRead, Write};
use std::time::Instant;

use rows::{Rows, Settings};

pub const LR: f64 = 1e-3;
pub const EPS: f32 = 1e-8;

/// A network with its optimizer and its data.
pub trait Peer {
    /// Trains one epoch and returns the mean loss of its rows.
    fn epoch(&mut self) -> f64;
    /// The share of the training rows that the network gets right.
    fn accuracy(&self) -> f64;
}

fn main() {
    let settings = Settings::from_args(std::env::args().skip(1));
    let rows = Rows::read(&settings);
    let mut peer: Box<dyn Peer> = match settings.peer.as_str() {
        "burn" => Box::new(burn_peer::Burn::new(&settings, rows)),
        "candle" => Box::new(candle_peer::Candle::new(&settings, rows).expect("candle")),
        other => panic!("there is no peer {other}: burn or candle"),
    };
    let loss = peer.epoch();
    say(format_args!(r#"{{"ready": true, "loss": {loss}}}"#));
    for line in std::io::stdin().lock().lines() {
        let count: usize = line.expect("standard input").trim().parse().expect("a number");
        let (mut seconds, mut losses) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let start = Instant::now();
            losses.push(peer.epoch());
            seconds.push(start.elapsed().as_secs_f64());
        }
        say(format_args!(r#"{{"seconds": {seconds:?}, "losses": {losses:?}}}"#));
    }
    say(format_args!(r#"{{"accuracy": {}}}"#, peer.accuracy()));
}

/// A line of JSON, at once.
fn say(line: std::fmt::Arguments) {
    // JSON has no NaN of Rust's kind; Python's reader does
    println!("{}", line.to_string().replace("inf", "Infinity"));
    std::io::stdout().flush().expect("standard output");
}
