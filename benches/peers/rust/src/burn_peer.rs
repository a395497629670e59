//! Burn on its backend Flex, which is all Rust. Its other backend for CPUs needs LLVM, which its
//! build downloads.

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use crate::rows::{Orders, Rows, Settings};
use crate::{EPS, LR, Peer};

#[derive(Module, Debug)]
struct Network {
    layers: Vec<Linear>,
}

impl Network {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x, |x, (i, layer)| {
            let z = layer.forward(x);
            match (i == last, i % 3) {
                (true, _) => z,
                (false, 0) => activation::relu(z),
                (false, 1) => activation::selu(z),
                (false, _) => activation::tanh(z),
            }
        })
    }
}

pub struct Burn {
    network: Option<Network>,
    optimizer: ModuleOptimizer,
    loss: CrossEntropyLoss,
    device: Device,
    x: Tensor<2>,
    y: Tensor<1, Int>,
    orders: Orders,
    batch: usize,
    rows: usize,
}

impl Burn {
    pub fn new(settings: &Settings, data: Rows) -> Burn {
        let device = Device::flex().autodiff();
        device.seed(0);
        let layer = |(n_in, n_out)| LinearConfig::new(n_in, n_out).init(&device);
        let network = Network { layers: settings.layers().into_iter().map(layer).collect() };
        let rows = settings.rows;
        let classes: Vec<i32> = data.y.iter().map(|&class| class.into()).collect();
        Burn {
            network: Some(network),
            optimizer: AdamConfig::new().with_epsilon(EPS).init(),
            loss: CrossEntropyLossConfig::new().init(&device),
            x: Tensor::from_data(TensorData::new(data.x, [rows, settings.inputs]), &device),
            y: Tensor::from_data(TensorData::new(classes, [rows]), &device),
            orders: Orders::new(rows),
            batch: settings.batch,
            rows,
            device,
        }
    }
}

impl Peer for Burn {
    fn epoch(&mut self) -> f64 {
        let mut total = 0.0;
        let mut network = self.network.take().expect("a network");
        for rows in self.orders.next().chunks(self.batch) {
            let picked =
                TensorData::new(rows.iter().map(|&row| row as i32).collect(), [rows.len()]);
            let picked = Tensor::<1, Int>::from_data(picked, &self.device);
            let x = self.x.clone().select(0, picked.clone());
            let y = self.y.clone().select(0, picked);
            let loss = self.loss.forward(network.forward(x), y);
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = self.optimizer.step(LR, network, gradients);
            total += loss.into_scalar::<f32>() as f64 * rows.len() as f64;
        }
        self.network = Some(network);
        total / self.rows as f64
    }

    fn accuracy(&self) -> f64 {
        let network = self.network.as_ref().expect("a network");
        let found = network.forward(self.x.clone()).argmax(1).reshape([self.rows]);
        let right = found.equal(self.y.clone()).int().sum().into_scalar::<i64>();
        right as f64 / self.rows as f64
    }
}
