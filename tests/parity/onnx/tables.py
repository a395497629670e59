"""Tables of text cells, made by seeded generators or read from files, and what onnxruntime is fed of them."""

import csv
import json

import numpy as np

# what densely takes for a missing value, beside `NaN` in any case
MISSING = {"", "NA", "N/A", "null", "None", "?"}


def is_missing(cell):
    return cell.strip() in MISSING or cell.strip().lower() == "nan"


class Table:
    """Columns of cells, as a file has them."""

    def __init__(self, columns):
        self.columns = columns

    @classmethod
    def read(cls, path):
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        return cls(dict(zip(header, map(list, zip(*rows)))))

    def write(self, path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(zip(*self.columns.values()))

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def rows(self, which):
        return Table({name: cells[which] for name, cells in self.columns.items()})

    def numbers(self, name):
        """A column of numbers; NaN is missing."""
        cells = self.columns[name]
        return np.array([np.nan if is_missing(cell) else np.float32(cell) for cell in cells], np.float32)

    def texts(self, name):
        """A column of texts; the empty text is missing, and spaces at the ends do not count."""
        cells = self.columns[name]
        return np.array(["" if is_missing(cell) else cell.strip() for cell in cells], object)

    def feed(self, session):
        """What a session takes of these rows: one array of all columns, or one of each."""
        inputs = session.get_inputs()
        if [node.name for node in inputs] == ["features"] and "features" not in self.columns:
            columns = json.loads(session.get_modelmeta().custom_metadata_map["columns"])
            assert inputs[0].shape == ["batch", len(columns)], inputs[0].shape
            return {"features": np.column_stack([self.numbers(column["name"]) for column in columns])}
        feed = {}
        for node in inputs:
            assert node.shape == ["batch", 1], node.shape
            cells = {"tensor(float)": self.numbers, "tensor(string)": self.texts}[node.type]
            feed[node.name] = cells(node.name).reshape(-1, 1)
        return feed


def number(rng, n, center=0.0, scale=1.0, whole=False, missing=0.0):
    """Cells of a column of numbers."""
    values = rng.normal(center, scale, n)
    cells = [str(round(value)) if whole else f"{value:.7g}" for value in values]
    return with_gaps(rng, cells, missing)


def category(rng, n, levels, missing=0.0):
    """Cells of a column of names."""
    return with_gaps(rng, [levels[i] for i in rng.integers(len(levels), size=n)], missing)


def with_gaps(rng, cells, share):
    words = sorted(MISSING) + ["NaN", "nan"]
    gaps = rng.random(len(cells)) < share
    return [words[rng.integers(len(words))] if gap else cell for cell, gap in zip(cells, gaps)]


def score(rng, table):
    """A number for each row that depends on all columns."""
    n = len(table)
    total = rng.normal(0, 0.2, n)
    for cells in table.columns.values():
        _, codes = np.unique(cells, return_inverse=True)
        total += np.sin(codes * rng.uniform(0.5, 2)) * rng.uniform(0.5, 1.5)
    return total


def with_classes(rng, table, classes, name="target"):
    """The table with a column of classes, which follow from the others."""
    bounds = np.quantile(values := score(rng, table), np.linspace(0, 1, len(classes) + 1)[1:-1])
    return Table({**table.columns, name: [classes[i] for i in np.digitize(values, bounds)]})


def with_numbers(rng, table, names, center=0.0, scale=1.0, counts=False):
    """The table with columns of numbers to predict."""
    made = {}
    for name in names:
        values = score(rng, table)
        if counts:
            made[name] = [str(x) for x in rng.poisson(np.exp(0.5 * values))]
        else:
            made[name] = [f"{center + scale * x:.7g}" for x in values]
    return Table({**table.columns, **made})
