//! The same work for several pools. See the README beside the manifest.

pub mod measure;
pub mod pools;
pub mod scenarios;
pub mod subject;
