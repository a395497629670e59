//! Tests of data sets.

use super::*;
use ndarray::{Array2, array};

/// The fingerprint of format 1 of three bytes 7 with the labels 1, 3, 1.
const EARLIER: &str = "xxh3:b5cfe0067df53f5287b7f75012e26904";

#[test]
fn arrays_become_a_data_set() {
    let x = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let data = Dataset::from_arrays(x.t(), &[2, 0, 1]).unwrap();
    assert_eq!((data.len(), data.n_features(), data.n_classes()), (3, 2, 3));
    assert_eq!(data.features(), &Features::F32(vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
}

#[test]
fn arrays_that_do_not_fit_are_rejected() {
    let message = |x: Array2<f32>, labels: &[u32]| {
        Dataset::from_arrays(x.view(), labels).unwrap_err().to_string()
    };
    assert!(message(array![[1.0], [2.0]], &[0]).contains("found 2"));
    assert!(message(array![[f32::NAN]], &[0]).contains("feature 0 of sample 0 is NaN"));
    assert!(message(Array2::zeros((0, 3)), &[]).contains("expected samples"));
    assert!(message(Array2::zeros((2, 0)), &[0, 1]).contains("expected samples"));
}

#[test]
fn the_fingerprint_depends_on_sizes_labels_and_values() {
    let of = |values: &[u8], labels: &[u32], n_features| {
        Dataset::new("test", Features::U8(values.to_vec()), labels.to_vec(), n_features)
            .unwrap()
            .fingerprint()
    };
    let base = of(&[1, 2, 3, 4], &[0, 1], 2);
    assert_eq!(base, of(&[1, 2, 3, 4], &[0, 1], 2));
    assert_ne!(base, of(&[1, 2, 3, 5], &[0, 1], 2));
    assert_ne!(base, of(&[1, 2, 3, 4], &[1, 0], 2));
    assert_ne!(base, of(&[1, 2, 3, 4], &[0, 1, 1, 1], 1));
}

fn labelled(labels: &[u32]) -> Dataset {
    Dataset::new("test", Features::U8(vec![7; labels.len()]), labels.to_vec(), 1).unwrap()
}

#[test]
fn the_fingerprint_depends_on_the_shape_and_where_the_training_file_ends() {
    let data = || Dataset::new("test", Features::U8(vec![1; 12]), vec![0, 1, 2], 4).unwrap();
    let all = [
        data(),
        data().with_images((2, 2), 3),
        data().with_images((1, 4), 3),
        data().with_images((2, 2), 2),
        data().with_classes_of(&["0", "1", "2", "3"].map(str::to_owned)).unwrap(),
    ];
    for (i, a) in all.iter().enumerate() {
        for (j, b) in all.iter().enumerate() {
            assert_eq!(a.fingerprint() == b.fingerprint(), i == j, "{i} {j}");
            assert_eq!(a.has_fingerprint(&b.fingerprint()), i == j);
        }
    }
}

#[test]
fn earlier_fingerprints_are_recognised() {
    // as the version before wrote it, of 3 samples with the labels 1, 3, 1
    let data = labelled(&[1, 3, 1]);
    let earlier = format!("xxh3:{:032x}", data.earlier_hash().unwrap());
    assert_eq!(earlier, EARLIER);
    assert!(data.with_occurring_classes().has_fingerprint(EARLIER));
    assert!(!labelled(&[1, 3, 3]).has_fingerprint(EARLIER));
}

#[test]
fn classes_are_those_that_occur_and_keep_their_names() {
    let data = labelled(&[5, 2, 5, 26]).with_occurring_classes();
    assert_eq!(
        (data.labels(), data.classes()),
        (&[1, 0, 1, 2][..], &["2", "5", "26"].map(str::to_owned)[..])
    );
    let model = ["26", "1", "5", "2"].map(str::to_owned);
    let matched = data.clone().with_classes_of(&model).unwrap();
    assert_eq!((matched.labels(), matched.n_classes()), (&[2, 3, 2, 0][..], 4));
    let error = data.with_classes_of(&model[..3]).unwrap_err().to_string();
    assert!(
        error.contains("class 2 is not known to the model; expected one of 26, 1, 5"),
        "{error}"
    );
}

#[test]
fn labels_that_cannot_be_meant_are_noticed() {
    let warning = |labels: &[u32]| labelled(labels).with_occurring_classes().warnings().join("");
    assert!(warning(&[4, 4, 4]).contains("all 3 labels of test are 4"));
    assert!(warning(&[9, 4, 7, 7]).contains("3 classes in 4 samples"));
    assert_eq!(warning(&[0, 1]), "");
    assert_eq!(warning(&[0, 1, 2, 0, 1, 2]), "");
}

#[test]
fn targets_and_weights_are_checked_and_change_the_fingerprint() {
    let (x, y) = (array![[1.0], [2.0], [3.0]], array![[10.0, 0.0], [20.0, 0.5], [30.0, 1.0]]);
    let data = Dataset::from_targets(x.view(), y.view()).unwrap();
    assert_eq!((data.len(), data.n_classes(), data.n_outputs()), (3, 0, 2));
    assert_eq!(data.target_names(), ["target_0", "target_1"]);
    assert_eq!(data.targets_of(&[2, 0]), [30.0, 1.0, 10.0, 0.0]);
    let changed = Dataset::from_targets(x.view(), array![[10.0], [20.0], [30.0]].view()).unwrap();
    assert_ne!(data.fingerprint(), changed.fingerprint());
    let classes = Dataset::from_arrays(x.view(), &[0, 1, 0]).unwrap();
    let unweighted = classes.fingerprint();
    let weighted = classes.clone().with_weights(vec![1.0, 0.0, 2.5]).unwrap();
    assert_ne!(weighted.fingerprint(), unweighted);
    assert!(!weighted.has_fingerprint(EARLIER));
    assert_eq!((weighted.weight_of(&[0, 2]), data.weight_of(&[0, 2])), (3.5, 2.0));
    for wrong in [vec![1.0], vec![1.0, -1.0, 1.0], vec![1.0, f32::NAN, 1.0], vec![0.0; 3]] {
        assert!(classes.clone().with_weights(wrong).is_err());
    }
    let error = Dataset::from_targets(x.view(), array![[1.0], [f32::NAN], [1.0]].view());
    assert!(error.unwrap_err().to_string().contains("target target of sample 1 is NaN"));
    assert!(Dataset::from_targets(x.view(), array![[1.0]].view()).is_err());
    let constant = Dataset::from_targets(x.view(), array![[7.0], [7.0], [7.0]].view()).unwrap();
    assert!(constant.warnings()[0].contains("all 3 values of target"));
    let parts = Split::Auto.apply(&data, 1).unwrap();
    assert_eq!(parts.train.len() + parts.val.len() + parts.test.len(), 3);
}
