//! candle on the CPU, with the matrix products that it has by default. Its initial weights differ
//! from run to run: it has no seed for the CPU.

use candle_core::{D, DType, Device, Module, Result, Tensor};
use candle_nn::{AdamW, Linear, Optimizer, ParamsAdamW, VarBuilder, VarMap};

use crate::rows::{Orders, Rows, Settings};
use crate::{EPS, LR, Peer};

const SELU_SCALE: f64 = 1.0507009873554805;
const SELU_ALPHA: f64 = 1.6732632423543772;

pub struct Candle {
    layers: Vec<Linear>,
    optimizer: AdamW,
    x: Tensor,
    y: Tensor,
    orders: Orders,
    batch: usize,
    rows: usize,
}

impl Candle {
    pub fn new(settings: &Settings, data: Rows) -> Result<Candle> {
        let variables = VarMap::new();
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let layers = settings.layers().into_iter().enumerate();
        let layers = layers
            .map(|(i, (n_in, n_out))| candle_nn::linear(n_in, n_out, builder.pp(i)))
            .collect::<Result<_>>()?;
        let rows = settings.rows;
        let classes = data.y.iter().map(|&class| class.into()).collect();
        // without decay of the weights, AdamW is Adam
        let adam =
            ParamsAdamW { lr: LR, beta1: 0.9, beta2: 0.999, eps: EPS.into(), weight_decay: 0.0 };
        Ok(Candle {
            layers,
            optimizer: AdamW::new(variables.all_vars(), adam)?,
            x: Tensor::from_vec(data.x, (rows, settings.inputs), &Device::Cpu)?,
            y: Tensor::from_vec::<_, u32>(classes, rows, &Device::Cpu)?,
            orders: Orders::new(rows),
            batch: settings.batch,
            rows,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x)?;
            if i + 1 < self.layers.len() {
                x = match i % 3 {
                    0 => x.relu()?,
                    // as one operation; candle_nn::ops::selu takes several
                    1 => (x.elu(SELU_ALPHA)? * SELU_SCALE)?,
                    _ => x.tanh()?,
                };
            }
        }
        Ok(x)
    }

    fn train(&mut self) -> Result<f64> {
        let mut total = 0.0;
        let order = self.orders.next().to_vec();
        for rows in order.chunks(self.batch) {
            let picked = Tensor::from_slice(rows, rows.len(), &Device::Cpu)?;
            let x = self.x.index_select(&picked, 0)?;
            let y = self.y.index_select(&picked, 0)?;
            let loss = candle_nn::loss::cross_entropy(&self.forward(&x)?, &y)?;
            self.optimizer.backward_step(&loss)?;
            total += loss.to_scalar::<f32>()? as f64 * rows.len() as f64;
        }
        Ok(total / self.rows as f64)
    }

    fn right(&self) -> Result<f64> {
        let found = self.forward(&self.x)?.argmax(D::Minus1)?;
        let right = found.eq(&self.y)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
        Ok(right as f64 / self.rows as f64)
    }
}

impl Peer for Candle {
    fn epoch(&mut self) -> f64 {
        self.train().expect("candle's training")
    }

    fn accuracy(&self) -> f64 {
        self.right().expect("candle's predictions")
    }
}
