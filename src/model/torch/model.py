"""A network that densely trained, as a PyTorch module. It needs PyTorch alone, 1.13 or later.

    from model import load

    network = load()  # model.safetensors beside this file
    network.predict({"rooms": [2, 3], "city": ["Oslo", None]})  # columns by name
    network.predict(pixels)  # arrays and images: (samples, features), as densely read them

`network(x)` returns logits, or for numbers what the loss compares with standardised targets. Its parameters are ordinary ones:
`layers.0.weight`, `layers.0.bias`, and so on, in `network.state_dict()`. Those of an ensemble are `members.0.layers.0.weight` and so on; its outputs
mean the mean of the probabilities, or of the values, of its members.
"""

import json
import pathlib
import struct

import torch
from torch import nn
from torch.nn import functional

# the words for what is missing, as densely reads files; NaN in any case
MISSING = {"", "?", "NA", "N/A", "null", "None"}

ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": functional.relu,
    "leaky-relu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "mish": functional.mish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def text(cell):
    """A cell as densely reads it in a file, or None where it is missing."""
    cell = cell.item() if hasattr(cell, "item") else cell  # of tensors and NumPy's arrays
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # whole numbers beside missing ones are often floating-point numbers
    is_missing = str(cell) in ("<NA>", "NaT") and not isinstance(cell, str)  # of pandas
    cell = str(cell).strip()
    return None if is_missing or cell in MISSING or cell.lower() == "nan" else cell


class Layer(nn.Linear):
    """Products, biases, and the norm of a hidden layer."""

    def __init__(self, n_in, n_out, norm):
        super().__init__(n_in, n_out)
        norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}
        self.norm = norms[norm]() if norm == "none" else norms[norm](n_out)

    def forward(self, x):
        return self.norm(super().forward(x))


class Factors(nn.Module):
    """Learned factors of the inputs."""

    def __init__(self, n):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return x * self.scale


class Layers(nn.Module):
    """The layers of one network."""

    def __init__(self, about, sizes):
        super().__init__()
        self.inputs = Factors(sizes[0]) if about.get("input_scales") else nn.Identity()
        norms = [about.get("norm", "none")] * (len(sizes) - 2) + ["none"]  # the output layer has none
        self.layers = nn.ModuleList(Layer(*layer) for layer in zip(sizes, sizes[1:], norms))
        self.activations = [*about["activations"], "identity"][: len(self.layers)]

    def run(self, x):
        x = self.inputs(x)
        for layer, activation in zip(self.layers, self.activations):
            x = ACTIVATIONS[activation](layer(x))
        return x

    def forward(self, x):
        return self.run(x)


class Network(Layers):
    """A multilayer perceptron or an ensemble, with what makes its inputs of a table's columns and what its outputs mean."""

    def __init__(self, about, sizes):
        members = about.get("members", 1)
        if members == 1:
            super().__init__(about, sizes)
        else:
            nn.Module.__init__(self)
            self.members = nn.ModuleList(Layers(about, sizes) for _ in range(members))
        self.about = about
        prepare = about.get("prepare") or {}
        self.columns = [next(iter(column.items())) for column in prepare.get("inputs", [])]
        pca = prepare.get("pca")
        if pca:
            mean = torch.tensor(pca["mean"], dtype=torch.float64)
            components = torch.tensor(pca["components"], dtype=torch.float64)
            self.register_buffer("pca_mean", mean, persistent=False)
            self.register_buffer("pca_components", components.view(-1, len(mean)), persistent=False)
        self.has_pca = bool(pca)
        squash = prepare.get("squash")
        self.has_squash = bool(squash)
        for name, values in (squash or {}).items():
            self.register_buffer(f"squash_{name}", torch.tensor(values, dtype=torch.float64), persistent=False)

    def forward(self, x):
        """Logits, or standardised numbers, (rows, outputs), of what `encode` takes."""
        x = self.encode(x)
        if not hasattr(self, "members"):
            return self.run(x)
        outputs = torch.stack([member(x) for member in self.members])
        regression = self.about.get("regression")
        if regression and regression["loss"] != "poisson":
            return outputs.mean(dim=0)
        logarithms = outputs if regression else outputs.log_softmax(dim=2)
        return logarithms.logsumexp(dim=0) - torch.tensor(float(len(outputs))).log()

    @property
    def first(self):
        """The first layer, or that of the first member."""
        return self.members[0].layers[0] if hasattr(self, "members") else self.layers[0]

    def values(self, x):
        """The probabilities of the classes, or numbers in the units of their targets, (rows, outputs)."""
        outputs = self(x)
        regression = self.about.get("regression")
        if not regression:
            return outputs.softmax(dim=1)
        if regression["loss"] == "poisson":
            return outputs.exp()
        scales = [(target["scale"], target["center"]) for target in regression["targets"]]
        scale, center = outputs.new_tensor(scales, dtype=torch.float64).T
        return (outputs.double() * scale + center).float()

    @torch.no_grad()
    def predict(self, x):
        """The names of the most probable classes, or numbers in the units of their targets."""
        values = self.values(x)
        if self.about.get("regression"):
            return values
        return [self.about["labels"][i] for i in values.argmax(dim=1).tolist()]

    def encode(self, x):
        """The inputs of the first layer, (rows, inputs).

        Of a table: the columns by name, where NaN, None and the words that are missing in files are missing; or a tensor (rows, columns),
        in the order of `network.columns`, if all columns hold numbers. Of arrays and images: a tensor (samples, features) of raw values.
        """
        weight = self.first.weight
        if not self.columns:
            x = torch.as_tensor(x, dtype=weight.dtype, device=weight.device).flatten(1)
            return x / 255 if self.about["scaling"] == "u8/255" else x
        if not hasattr(x, "keys"):
            if any(kind == "category" for kind, _ in self.columns):
                raise ValueError("the network has columns of texts; expected a dict of columns by name")
            x = torch.as_tensor(x)  # NaN is missing
            if x.ndim != 2 or x.shape[1] != len(self.columns):
                raise ValueError(f"an array of shape {tuple(x.shape)}; expected {len(self.columns)} columns")
            x = {column["column"]: x[:, i] for i, (_, column) in enumerate(self.columns)}
        names = {**{str(name).strip(): name for name in x.keys()}, **{name: name for name in x.keys()}}
        pieces = []
        for kind, column in self.columns:
            name = column["column"]
            if name not in names:
                raise ValueError(f"there is no column {name}; expected {', '.join(column['column'] for _, column in self.columns)}")
            cells = x[names[name]]
            if isinstance(cells, str) or not hasattr(cells, "__len__"):
                raise ValueError(f"{name} is {cells!r}; expected a list of cells")
            pieces.append(getattr(self, kind)(column, cells))
            if len(pieces[-1]) != len(pieces[0]):
                raise ValueError(f"{name} has {len(pieces[-1])} cells; expected {len(pieces[0])}, as the columns before it")
        x = torch.cat(pieces, dim=1)
        if self.has_squash:
            z = (x.double() - self.squash_center) * self.squash_factor
            x = (z / (1 + (z / 3) ** 2).sqrt()).float()
        if self.has_pca:
            x = (x.double() - self.pca_mean) @ self.pca_components.T
        return x.to(weight.dtype)

    def number(self, column, cells):
        """A column of numbers, scaled, and a second one that says where they were missing, if the training part lacked any."""
        name, device = column["column"], self.first.weight.device
        if not torch.is_tensor(cells):
            try:
                cells = [float(text(cell) or "nan") for cell in cells]
            except ValueError as error:
                raise ValueError(f"{name}: {error}; expected numbers") from None
        # as densely reads them, numbers have 32 bits
        cells = torch.as_tensor(cells, dtype=torch.float64, device=device).reshape(len(cells)).float().double()
        is_missing = cells.isnan()
        for problem, rows in [("no number", is_missing & (column["fill"] is None)), ("an infinite number", cells.isinf())]:
            if rows.any():
                raise ValueError(f"{name} has {problem} in row {int(rows.nonzero()[0]) + 1}")
        fill = torch.tensor(column["fill"] or 0.0, dtype=torch.float64, device=device)
        filled = torch.where(is_missing, fill, cells)
        scaled = (filled - column["center"]) / column["scale"]
        pieces = [scaled.float(), is_missing.float()] if column["indicator"] else [scaled.float()]
        return torch.stack(pieces, dim=1)

    def category(self, column, cells):
        """A column for each level, and one for missing texts, if the training part lacked any; unknown texts are 0 in all."""
        places = {level: place for place, level in enumerate(column["levels"])}
        width = len(places) + column["missing"]
        contrast = column.get("contrast", False)  # 1 for the first of two levels, -1 for the second
        encoded = torch.zeros(len(cells), 1 if contrast else width)
        for row, cell in enumerate(text(cell) for cell in cells):
            if cell is not None and cell.endswith(".0") and cell not in places:
                cell = cell[:-2]  # densely reads a column of such numbers so
            place = len(places) if cell is None else places.get(cell, width)
            if place < width and contrast:
                encoded[row, 0] = 1.0 - 2.0 * place
            elif place < width:
                encoded[row, place] = 1.0
        return encoded.to(self.first.weight.device)


def load(path=None):
    """The network in a model file of densely; by default `model.safetensors` beside this file."""
    path = pathlib.Path(path) if path else pathlib.Path(__file__).with_name("model.safetensors")
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header.pop("__metadata__")["densely"])
    state = {}
    for name, tensor in header.items():
        start, end = tensor["data_offsets"]
        values = torch.frombuffer(data, dtype=torch.float32, count=(end - start) // 4, offset=8 + length + start)
        state[name] = values.view(tensor["shape"])
    members = about.get("members", 1)
    first = "" if members == 1 else "members.0."
    count = sum(tensor.ndim == 2 for tensor in state.values()) // members
    sizes = [state[f"{first}layers.0.weight"].shape[1], *(len(state[f"{first}layers.{i}.bias"]) for i in range(count))]
    network = Network(about, sizes)
    missing, wrong = network.load_state_dict(state, strict=False)
    wrong += [name for name in missing if not name.endswith("num_batches_tracked")]  # which PyTorch alone counts
    if wrong:
        raise ValueError(f"{path}: the tensors do not fit the network: {', '.join(wrong)}")
    return network.eval()
