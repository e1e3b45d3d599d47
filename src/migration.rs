#![doc = include_str!("../docs/migration.md")]
// What belongs to a feature that is off is named all the same.
#![cfg_attr(
    not(all(feature = "bb8", feature = "deadpool", feature = "r2d2")),
    allow(rustdoc::broken_intra_doc_links)
)]

// The page links to items by their names alone.
#[allow(unused_imports)]
use crate::*;
