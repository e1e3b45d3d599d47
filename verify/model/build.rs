//! Makes the cfgs that the crate's sources know of the features, and of `MUTANT`.

use std::env;

fn main() {
    let chosen = ["loom", "shuttle"].map(|checker| {
        let feature = format!("CARGO_FEATURE_{}", checker.to_uppercase());
        let on = env::var_os(feature).is_some();
        if on {
            println!("cargo::rustc-cfg={checker}");
        }
        on
    });
    if chosen[0] == chosen[1] {
        println!("cargo::error=choose one: --features loom, or --features shuttle");
    }
    println!("cargo::rerun-if-env-changed=MUTANT");
    if let Ok(mutant) = env::var("MUTANT") {
        println!("cargo::rustc-cfg=mutant=\"{mutant}\"");
    }
}
