//! A world in one line, for the story of what went wrong.

use super::world::{Job, Runner, Task, World};

impl World {
    pub(super) fn summary(&self) -> String {
        let waiting: Vec<String> = self
            .all_waiting()
            .map(|(user, waiting)| {
                let woken = if waiting.woken { ", woken" } else { "" };
                format!("{user} {:?}{woken}", waiting.at)
            })
            .collect();
        let jobs: Vec<String> = self
            .jobs
            .iter()
            .map(|Job { task, runner }| {
                let name = match task {
                    Task::Connect(_) => "connect",
                    Task::Check(..) => "check",
                    Task::Recycle(_) => "recycle",
                    Task::Close(..) => "close",
                    Task::Aside(_) => "aside",
                };
                match runner {
                    Runner::Runtime => name.to_owned(),
                    other => format!("{name} by {other:?}"),
                }
            })
            .collect();
        format!(
            "{}; waiting [{}]; jobs [{}]; keeper {:?}; filler {:?}; driverless {}; stranded {}",
            self.pool.status(self.now),
            waiting.join("; "),
            jobs.join(", "),
            self.keeper,
            self.filler,
            self.pool.driverless,
            self.pool.stranded,
        )
    }
}
