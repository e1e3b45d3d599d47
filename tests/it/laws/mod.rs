//! The laws, by section. Each test cites the number of its law.

mod check;
mod churn;
mod circuit;
mod closing;
mod connect;
mod events;
mod fairness;
mod giving_back;
mod hosts;
mod interleaving;
mod keepalive;
mod keyed;
mod leaks;
mod lifetime;
mod load;
mod lost_tasks;
mod numbers;
mod overload;
mod pausing;
mod reset;
mod settings;
mod size;
mod waiting;
mod ways_out;
