//! Tests of what is learnt and of what becomes of rows.

use super::*;
use crate::data::Features;
use crate::data::table::{Chunk, Column, Kind, MISSING};

const NAN: f32 = f32::NAN;

/// Size (with a gap), colour (with a gap), key, constant, class.
fn table() -> Table {
    let column = |name: &str, levels: &[&str]| Column {
        name: name.to_owned(),
        kind: match levels {
            [] => Kind::Number,
            levels => Kind::Text(levels.iter().map(ToString::to_string).collect()),
        },
    };
    let columns = vec![
        column("size", &[]),
        column("colour", &["red", "blue", "green"]),
        column("constant", &[]),
        column("class", &["b", "a"]),
    ];
    let chunk = |numbers: &[f32], codes: &[u32]| Chunk {
        n_rows: numbers.len() / 2,
        numbers: Features::F32(numbers.to_vec()),
        codes: codes.to_vec(),
    };
    let chunks = vec![
        chunk(&[1.0, 7.0, NAN, 7.0, 4.0, 7.0], &[0, 0, 1, 1, MISSING, 0]),
        chunk(&[10.0, 7.0, 100.0, 8.0], &[1, 1, 2, 1]),
    ];
    Table::new("test.csv", columns, chunks).unwrap()
}

fn fitted(options: &TableOptions) -> (Prepare, Vec<String>) {
    let table = table();
    let roles = Roles::of(&table, options).unwrap();
    assert_eq!(roles.classes.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
    Prepare::fit(&table, &roles, options, &[0, 1, 2, 3]).unwrap()
}

/// Every input is scaled by its quartiles and bent, two levels are one input, and what is missing there is neither.
#[test]
fn smooth_inputs_are_scaled_by_quartiles_and_bent() {
    let (prepare, _) = fitted(&TableOptions { scale: Scale::Smooth, ..TableOptions::default() });
    let [Input::Number { fill, center, scale, indicator, .. }, category] = prepare.inputs() else {
        panic!("{prepare:?}")
    };
    assert_eq!((*fill, *center, *scale, *indicator), (Some(4.0), 0.0, 1.0, true));
    let levels = ["blue", "red"].map(str::to_owned).to_vec();
    let column = "colour".to_owned();
    assert_eq!(*category, Input::Category { column, levels, missing: false, contrast: true });
    prepare.check(3).unwrap();
    assert!(prepare.check(4).is_err());

    let prepared = prepare.apply(table(), true).unwrap();
    let bent = |z: f64| (z / (1.0 + z * z / 9.0).sqrt()) as f32;
    // the sizes 1, 4, 4 and 10 have the median 4 and quartiles 2.25 apart; 0, 0, 0 and 1, of what is missing, 0 and 0.25; -1, 0, 1 and 1, of the colours, 0.5 and 1.25
    let row = |size: f64, missing: f64, colour: f64| {
        [bent((size - 4.0) / 2.25), bent(missing / 0.25), bent((colour - 0.5) / 1.25)]
    };
    let expected = [
        row(1.0, 0.0, -1.0),
        row(4.0, 1.0, 1.0),
        row(4.0, 0.0, 0.0),
        row(10.0, 0.0, 1.0),
        row(100.0, 0.0, 0.0),
    ];
    assert_eq!(prepared.inputs, expected.concat());
    assert!(prepared.inputs.iter().all(|x| x.abs() < 3.0));
    let unknown = prepare.unknown_levels(&prepared.unknown, prepared.n_rows);
    assert!(unknown[0].contains("`colour`: 1 of 5 values"), "{unknown:?}");
    // a column with three levels keeps an input for each
    let (table, options) =
        (table(), TableOptions { scale: Scale::Smooth, ..TableOptions::default() });
    let roles = Roles::of(&table, &options).unwrap();
    let (prepare, _) = Prepare::fit(&table, &roles, &options, &[0, 1, 2, 3, 4]).unwrap();
    assert_eq!(prepare.inputs()[1].width(), 3);
}

#[test]
fn what_is_learnt_comes_from_the_training_part_alone() {
    let (prepare, notices) = fitted(&TableOptions::default());
    // the sizes 1, 4 (the median, for the missing one), 4 and 10
    let deviation = 10.6875f64.sqrt();
    let [Input::Number { fill, center, scale, indicator, .. }, category] = prepare.inputs() else {
        panic!("{prepare:?}")
    };
    assert_eq!((*fill, *center, *indicator), (Some(4.0), 4.75, true));
    assert!((scale - deviation).abs() < 1e-12);
    let levels = ["blue", "red"].map(str::to_owned).to_vec();
    let column = "colour".to_owned();
    assert_eq!(*category, Input::Category { column, levels, missing: true, contrast: false });
    assert!(notices[0].contains("one value there: `constant`"), "{notices:?}");

    let prepared = prepare.apply(table(), true).unwrap();
    let z = |x: f64| ((x - 4.75) / deviation) as f32;
    let expected = [
        [z(1.0), 0.0, 0.0, 1.0, 0.0],
        [z(4.0), 1.0, 1.0, 0.0, 0.0],
        [z(4.0), 0.0, 0.0, 0.0, 1.0],
        [z(10.0), 0.0, 1.0, 0.0, 0.0],
        [z(100.0), 0.0, 0.0, 0.0, 0.0],
    ];
    assert_eq!(prepared.inputs, expected.concat());
    assert_eq!(prepared.labels, [1, 0, 1, 0, 0]);
    let unknown = prepare.unknown_levels(&prepared.unknown, prepared.n_rows);
    assert!(unknown[0].contains("`colour`: 1 of 5 values"), "{unknown:?}");
}

#[test]
fn scales_are_those_of_their_names() {
    let number = |scale| {
        let options = TableOptions { scale, ..TableOptions::default() };
        match fitted(&options).0.inputs()[0] {
            Input::Number { center, scale, .. } => (center, scale),
            Input::Category { .. } => panic!(),
        }
    };
    assert_eq!(number(Scale::None), (0.0, 1.0));
    assert_eq!(number(Scale::Unit), (1.0, 9.0));
    assert_eq!(number(Scale::Robust), (4.0, 4.5)); // quartiles 2.5 and 7
}

#[test]
fn columns_are_matched_by_name() {
    let (prepare, _) = fitted(&TableOptions::default());
    let columns = vec![
        Column { name: "more".into(), kind: Kind::Text(vec!["x".into()]) },
        Column { name: "colour".into(), kind: Kind::Text(vec!["blue".into(), "red".into()]) },
        Column { name: "size".into(), kind: Kind::Number },
    ];
    let numbers = Features::F32(vec![1.0, 10.0]);
    let chunk = Chunk { n_rows: 2, numbers, codes: vec![0, 1, 0, 0] };
    let other = Table::new("other.csv", columns.clone(), vec![chunk]).unwrap();
    let rows = prepare.apply(table(), false).unwrap().inputs;
    let inputs = prepare.apply(other, false).unwrap().inputs;
    assert_eq!((&inputs[..5], &inputs[5..]), (&rows[..5], &rows[15..20]));
    let message = |columns: &[Column], chunk: Chunk| {
        let table = Table::new("bad.csv", columns.to_vec(), vec![chunk]).unwrap();
        prepare.apply(table, true).unwrap_err().to_string()
    };
    let empty = |numbers: &[f32], codes: &[u32]| Chunk {
        n_rows: 1,
        numbers: Features::F32(numbers.to_vec()),
        codes: codes.to_vec(),
    };
    assert!(message(&columns[..2], empty(&[], &[0, 0])).contains("no column `size`"));
    assert!(message(&columns, empty(&[1.0], &[0, 0])).contains("no column `class`"));
    let mut texts = columns;
    texts[2].kind = Kind::Text(vec!["big".into()]);
    let found = message(&texts, empty(&[], &[0, 0, 0]));
    assert!(found.contains("`size` holds texts such as `big`"), "{found}");
}

#[test]
fn options_that_do_not_fit_are_named() {
    let message = |options: TableOptions| {
        let table = table();
        let roles = Roles::of(&table, &options);
        let fitted = roles.and_then(|roles| Prepare::fit(&table, &roles, &options, &[0, 1]));
        fitted.unwrap_err().to_string()
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let default = TableOptions::default;
    let found = message(TableOptions { target: names(&["klass"]), ..default() });
    assert!(found.contains("no column of that name; is it `class`?"), "{found}");
    let found = message(TableOptions { ignore: names(&["class"]), ..default() });
    assert!(found.contains("named for two purposes"), "{found}");
    let found = message(TableOptions { missing: Missing::Error, ..default() });
    assert!(found.contains("`size` has no number in row 2"), "{found}");
    let all = names(&["size", "colour"]);
    let found = message(TableOptions { ignore: all, ..default() });
    assert!(found.contains("no column is left to learn from"), "{found}");
    let found = message(TableOptions { task: TaskChoice::Regression, ..default() });
    assert!(found.contains("target `class` holds texts"), "{found}");
}

#[test]
fn prepare_round_trips_through_json() {
    let (prepare, _) = fitted(&TableOptions::default());
    let json = serde_json::to_string(&prepare).unwrap();
    assert_eq!(serde_json::from_str::<Prepare>(&json).unwrap(), prepare);
}
