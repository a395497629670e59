//! Tests of splits.

use super::super::Features;
use super::*;

fn images(n: usize, train_len: usize) -> Dataset {
    Dataset::new("test", Features::U8(vec![0; n]), vec![0; n], 1)
        .unwrap()
        .with_images((1, 1), train_len)
}

fn sizes(split: &str, data: &Dataset) -> (usize, usize, usize) {
    let parts = split.parse::<Split>().unwrap().apply(data, 0).unwrap();
    let all: Vec<u32> = [&parts.train[..], &parts.val, &parts.test].concat();
    assert!(all.iter().copied().eq(0..all.len() as u32), "consecutive, in file order");
    (parts.train.len(), parts.val.len(), parts.test.len())
}

#[test]
fn mnist_is_split_as_documented() {
    let mnist = images(70_000, 60_000);
    assert_eq!(sizes("pooled", &mnist), (50_000, 5_000, 15_000));
    assert_eq!(sizes("canonical", &mnist), (55_000, 5_000, 10_000));
    assert_eq!(sizes("100,0,7", &mnist), (100, 0, 7));
    assert_eq!(sizes("0.8,0.1,0.1", &mnist), (56_000, 7_000, 7_000));
}

#[test]
fn other_sizes_keep_the_proportions() {
    assert_eq!(sizes("pooled", &images(14, 12)), (10, 1, 3));
    assert_eq!(sizes("canonical", &images(30, 25)), (23, 2, 5));
    assert_eq!(sizes("0.7,0.2,0.1", &images(10, 10)), (7, 2, 1));
    assert_eq!(sizes("1.0,0,0", &images(10, 10)), (10, 0, 0));
}

/// `counts[k]` samples of class `k`, sorted by class; the first `train_len` are those of the training file.
fn sorted_by_class(counts: &[usize], train_len: Option<usize>) -> Dataset {
    let labels: Vec<u32> = counts
        .iter()
        .enumerate()
        .flat_map(|(class, &count)| std::iter::repeat_n(class as u32, count))
        .collect();
    let data = Dataset::new("sorted", Features::U8(vec![0; labels.len()]), labels, 1).unwrap();
    match train_len {
        Some(len) => data.with_images((1, 1), len),
        None => data,
    }
}

fn of_class(rows: &[u32], data: &Dataset, class: u32) -> usize {
    rows.iter().filter(|&&row| data.labels()[row as usize] == class).count()
}

#[test]
fn auto_gives_every_part_its_share_of_every_class() {
    let counts = [50, 50, 50, 7, 1000];
    let data = sorted_by_class(&counts, None);
    let parts = Split::Auto.apply(&data, 0).unwrap();
    let sizes = [parts.train.len(), parts.val.len(), parts.test.len()];
    assert_eq!(sizes, [1157 - 2 * 115, 115, 115]);
    let mut all = [&parts.train[..], &parts.val, &parts.test].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..1157), "every row once");
    for (class, count) in counts.into_iter().enumerate() {
        for (rows, share) in [(&parts.train, 0.8), (&parts.val, 0.1), (&parts.test, 0.1)] {
            let (found, expected) =
                (of_class(rows, &data, class as u32) as f64, share * count as f64);
            assert!((found - expected).abs() <= 2.0, "class {class}: {found} of {expected}");
        }
    }
    assert!(parts.train.is_sorted() && parts.val.is_sorted() && parts.test.is_sorted());
    assert_eq!(parts, Split::Auto.apply(&data, 0).unwrap());
    assert_ne!(parts, Split::Auto.apply(&data, 1).unwrap());
    assert!(parts.lacking(&data).is_empty());
}

#[test]
fn auto_keeps_a_test_file_and_the_convention_of_the_data() {
    let data = sorted_by_class(&[60, 60, 12], Some(120));
    let parts = Split::Auto.apply(&data, 3).unwrap();
    assert!(parts.test.iter().copied().eq(120..132));
    assert_eq!((parts.train.len(), parts.val.len()), (110, 10));
    assert_eq!([0, 1].map(|class| of_class(&parts.val, &data, class)), [5, 5]);
    assert_eq!(
        parts.lacking(&data),
        [
            "the training part has no sample of class 2",
            "the validation part has no sample of class 2",
            "the test part has no sample of the classes 0, 1"
        ]
    );
    let mnist = images(70, 60).with_usual_split(Split::Pooled);
    assert_eq!(Split::Auto.resolved(&mnist), Split::Pooled);
    assert_eq!(Split::Auto.resolved(&data), Split::Auto);
    assert_eq!(Split::Canonical.resolved(&mnist), Split::Canonical);
    for n in 1..30 {
        let parts = Split::Auto.apply(&sorted_by_class(&[n], None), 0).unwrap();
        let sizes = [parts.train.len(), parts.val.len(), parts.test.len()];
        assert_eq!(sizes.iter().sum::<usize>(), n);
        assert!(sizes[0] > 0 && (n < 3 || sizes.iter().all(|&size| size > 0)), "{sizes:?}");
    }
}

#[test]
fn folds_test_every_sample_once_with_its_class_in_proportion() {
    let data = sorted_by_class(&[50, 23, 7], None);
    let mut tested = Vec::new();
    for number in 1..=5 {
        let split = Split::Fold { number, of: 5 };
        let parts = split.apply(&data, 3).unwrap();
        assert_eq!(parts, split.apply(&data, 3).unwrap());
        assert_eq!((parts.test.len(), parts.val.len()), (16, 64 / 12));
        for (class, count) in [(0, 50.0), (1, 23.0), (2, 7.0)] {
            let found = of_class(&parts.test, &data, class) as f64;
            assert!((found - count / 5.0).abs() < 1.0, "class {class}: {found}");
        }
        let mut all = [&parts.train[..], &parts.val, &parts.test].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..80), "every row once");
        tested.extend(parts.test);
    }
    tested.sort_unstable();
    assert!(tested.into_iter().eq(0..80));
    let of_seed = |seed| Split::Fold { number: 1, of: 5 }.apply(&data, seed).unwrap();
    assert_ne!(of_seed(3), of_seed(4));
}

#[test]
fn folds_leave_a_test_file_out_and_need_a_sample_each() {
    let data = sorted_by_class(&[20, 12], Some(20));
    let parts = Split::Fold { number: 2, of: 4 }.apply(&data, 0).unwrap();
    assert_eq!((parts.train.len(), parts.val.len(), parts.test.len()), (14, 1, 5));
    assert!([parts.train, parts.val, parts.test].concat().iter().all(|&row| row < 20));
    let two = Split::Fold { number: 1, of: 2 };
    let parts = two.apply(&images(2, 2), 0).unwrap();
    assert_eq!((parts.train.len(), parts.val.len(), parts.test.len()), (1, 0, 1));
    let message =
        |number, of| Split::Fold { number, of }.apply(&images(2, 2), 0).unwrap_err().to_string();
    assert!(message(1, 3).contains("3 folds of 2 samples"), "{}", message(1, 3));
    for (number, of) in [(0, 2), (3, 2), (1, 1), (0, 0)] {
        assert!(message(number, of).contains("numbered from 1"), "{number} of {of}");
    }
}

#[test]
fn impossible_splits_say_why() {
    let message = |split: &str| {
        let split = split.parse::<Split>();
        split.and_then(|split| split.apply(&images(10, 10), 0)).unwrap_err().to_string()
    };
    assert!(message("8,2,1").contains("8 + 2 + 1 samples asked for, test has 10"));
    assert!(message("0,2,1").contains("the training part is empty"));
    assert!(message("canonical").contains("no test file"));
    assert!(message("18446744073709551615,1,1").contains("asked for"));
    assert!(message("0.8,0.2,0.2").contains("more than 1"));
    assert!(message("1.5,-0.5,0").contains("outside"));
    assert!(message("nan.,0,0").contains("not numbers"));
    assert!(message("fold:0/5").contains("no such fold"));
    assert!(message("fold:6/5").contains("no such fold"));
    assert!(message("fold:1/1").contains("no such fold"));
    for odd in ["", "8,2", "a,b,c", "1,2,3,4", "-1,2,3", "fold:3", "fold:a/b"] {
        assert!(message(odd).contains("expected `auto`, `pooled`"), "{odd}");
    }
}

#[test]
fn text_round_trips() {
    for text in [
        "auto",
        "pooled",
        "canonical",
        "5,0,2",
        "0.8,0.1,0.1",
        "1.0,0.0,0.0",
        "0.0000001,0.5,0.0",
        "fold:2/5",
    ] {
        assert_eq!(text.parse::<Split>().unwrap().to_string(), text);
    }
}
