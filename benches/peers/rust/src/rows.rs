//! What is trained, and on what.

use std::path::PathBuf;

#[derive(Default)]
pub struct Settings {
    pub peer: String,
    data: PathBuf,
    pub rows: usize,
    pub inputs: usize,
    pub classes: usize,
    pub hidden: Vec<usize>,
    pub batch: usize,
}

impl Settings {
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Settings {
        let mut settings =
            Settings { peer: args.next().expect("burn or candle"), ..Settings::default() };
        while let Some(flag) = args.next() {
            let value = args.next().unwrap_or_else(|| panic!("{flag} needs a value"));
            let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{flag} {value}"));
            match flag.as_str() {
                "--data" => settings.data = value.clone().into(),
                "--rows" => settings.rows = number(&value),
                "--inputs" => settings.inputs = number(&value),
                "--classes" => settings.classes = number(&value),
                "--hidden" => settings.hidden = value.split(',').map(number).collect(),
                "--batch" => settings.batch = number(&value),
                _ => panic!("{flag} is unknown"),
            }
        }
        assert!(settings.rows > 0 && settings.inputs > 0 && settings.classes > 1);
        assert!(settings.batch > 0);
        settings
    }

    /// The sizes of every layer's inputs and outputs.
    pub fn layers(&self) -> Vec<(usize, usize)> {
        let mut sizes = vec![self.inputs];
        sizes.extend(&self.hidden);
        sizes.push(self.classes);
        sizes.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }
}

/// The training rows in memory.
pub struct Rows {
    pub x: Vec<f32>,
    pub y: Vec<u8>,
}

impl Rows {
    pub fn read(settings: &Settings) -> Rows {
        let file = |name: &str| {
            let path = settings.data.join(name);
            std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        let bytes = file("x.f32");
        let (floats, _) = bytes.as_chunks::<4>();
        let x: Vec<f32> = floats.iter().map(|float| f32::from_le_bytes(*float)).collect();
        let y = file("y.u8");
        assert_eq!(x.len(), settings.rows * settings.inputs, "x.f32 has another size");
        assert_eq!(y.len(), settings.rows, "y.u8 has another size");
        Rows { x, y }
    }
}

/// The orders in which the epochs see the rows.
pub struct Orders {
    state: u64,
    order: Vec<u32>,
}

impl Orders {
    pub fn new(rows: usize) -> Orders {
        Orders { state: 0x9e37_79b9_7f4a_7c15, order: (0..rows as u32).collect() }
    }

    /// Shuffles the rows.
    pub fn next(&mut self) -> &[u32] {
        for last in (1..self.order.len()).rev() {
            // xorshift64*; its upper half, scaled to 0..=last
            self.state ^= self.state >> 12;
            self.state ^= self.state << 25;
            self.state ^= self.state >> 27;
            let random = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
            let other = (random * (last as u64 + 1)) >> 32;
            self.order.swap(last, other as usize);
        }
        &self.order
    }
}
