use super::*;

/// The capacity for a crowd before and after it is looked at, when so many are left of it.
fn shrunk(crowd: usize, left: usize) -> (usize, usize) {
    let mut map = HashMap::with_capacity(crowd);
    map.extend((0..left).map(|n| (n, ())));
    let before = map.capacity();
    shrink(&mut map);
    assert_eq!(map.len(), left);
    (before, map.capacity())
}

#[test]
fn memory_of_a_crowd_is_given_back_when_few_are_left() {
    let (before, after) = shrunk(1700, 100);
    assert!(before > 1024);
    assert!(
        (200..1024).contains(&after),
        "room for twice as many: {after}"
    );
}

#[test]
fn memory_is_kept_while_an_eighth_is_used_or_if_it_is_little() {
    let (before, _) = shrunk(1700, 0);
    let eighth = before / 8;
    assert_eq!(shrunk(1700, eighth), (before, before));
    assert!(shrunk(1700, eighth - 1).1 < before);
    let (before, after) = shrunk(800, 1);
    assert!(before <= 1024);
    assert_eq!(after, before);
}
