#![doc = include_str!("../docs/migration.md")]

// The page links to items by their names alone.
#[allow(unused_imports)]
use crate::*;
