//! The laws, by section. Each test cites the number of its law.

mod check;
mod closing;
mod connect;
mod fairness;
mod giving_back;
mod lifetime;
mod numbers;
mod size;
mod waiting;
