"""Trains scikit-learn's MLP with its defaults on a table of make.py, and prints its error on the test part as a JSON line.

    python benches/tables/peer.py DIRECTORY/NAME SEED

One hidden layer of 100, Adam, batches of 200, at most 200 epochs. Numbers are standardised, names become an input each, missing numbers the
median, and the targets of a regression are standardised. It trains on the training and the validation part, because by default it stops
by its own training loss. densely trains on the training part alone.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def main():
    folder, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    warnings.simplefilter("ignore")  # 200 epochs are often not enough for its own criterion
    about = json.loads((folder / "about.json").read_text())
    train, valid, test = (pd.read_csv(folder / f"{part}.csv") for part in ("train", "valid", "test"))
    train = pd.concat([train, valid])

    names = about["categories"]
    numbers = [column for column in train.columns if column not in [*names, "target"]]
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("names", OneHotEncoder(handle_unknown="ignore", sparse_output=False), names),
        ]
    )
    if about["task"] == "regression":
        network = make_pipeline(prepare, MLPRegressor(random_state=seed))
        network = TransformedTargetRegressor(network, transformer=StandardScaler())
        network.fit(train.drop(columns="target"), train["target"].to_numpy(float))
        errors = network.predict(test.drop(columns="target")) - test["target"].to_numpy(float)
        result = {"metric": "rmse", "test": float(np.sqrt(np.mean(errors**2)))}
    else:
        network = make_pipeline(prepare, MLPClassifier(random_state=seed))
        network.fit(train.drop(columns="target"), train["target"].astype(str))
        right = network.predict(test.drop(columns="target")) == test["target"].astype(str)
        result = {"metric": "accuracy", "test": float(right.mean())}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
