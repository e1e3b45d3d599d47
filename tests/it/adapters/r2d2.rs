//! Managers that were written for r2d2.

use watertight::{Blocking, BlockingConnection, CheckPolicy, R2d2Manager};

use super::server::{Link, Refused, Server};
use super::trial::{self, Adapted, Trial};
use crate::support::{World, laws};

impl ::r2d2::ManageConnection for Server {
    type Connection = Link;
    type Error = Refused;

    fn connect(&self) -> Result<Link, Refused> {
        self.connect()
    }

    fn is_valid(&self, link: &mut Link) -> Result<(), Refused> {
        self.check(link)
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        self.has_broken(link)
    }
}

type Subject = Blocking<R2d2Manager<Server>>;

impl Adapted for Subject {
    fn over(server: Server) -> Self {
        Blocking::new(R2d2Manager::new(server))
    }

    fn server(&self) -> &Server {
        self.get_ref().get_ref()
    }

    fn link(connection: &BlockingConnection<Link>) -> &Link {
        connection
    }

    fn link_mut(connection: &mut BlockingConnection<Link>) -> &mut Link {
        connection
    }

    fn refusal(error: &Refused) -> Option<&Refused> {
        Some(error)
    }
}

async fn connection_is_reused_and_is_valid_runs_before_each_loan(w: World) {
    trial::is_reused::<Subject>(w).await;
}

async fn is_valid_does_not_run_unless_asked(w: World) {
    trial::is_not_checked_unless_asked::<Subject>(w).await;
}

async fn has_broken_closes_on_return(w: World) {
    trial::broken_one_is_closed_on_return::<Subject>(w).await;
}

async fn failing_is_valid_moves_on_to_the_next(w: World) {
    trial::failed_check_moves_on::<Subject>(w).await;
}

async fn panicking_connect_or_is_valid_gives_its_place_back(w: World) {
    trial::panics_cost_a_connection_each::<Subject>(w).await;
}

async fn panicking_has_broken_gives_its_place_back(w: World) {
    trial::panicking_look_costs_a_connection::<Subject>(w).await;
}

async fn error_of_connect_reaches_the_caller(w: World) {
    trial::error_reaches_the_caller::<Subject>(w).await;
}

async fn error_of_connect_is_the_cause_of_a_time_out(w: World) {
    trial::error_is_the_cause_of_a_time_out::<Subject>(w).await;
}

/// The callers' threads are not for calls that block.
async fn connect_and_is_valid_run_elsewhere(w: World) {
    let trial = Trial::<Subject>::of(&w, |b| b.max_size(1).check_policy(CheckPolicy::Always));
    trial.borrow_briefly().await;
    trial.borrow_briefly().await;
    let here = std::thread::current().id();
    let calls = [&trial.scripts.connects, &trial.scripts.checks];
    for callers in calls.map(|script| script.callers()) {
        assert_eq!(callers.len(), 1);
        // The virtual clock has but one thread.
        assert_eq!(callers == [here], w.virtual_time().is_some());
    }
    trial.end().await;
}

laws! {
    every_mode:
        connect_and_is_valid_run_elsewhere,
        connection_is_reused_and_is_valid_runs_before_each_loan,
        is_valid_does_not_run_unless_asked,
        has_broken_closes_on_return,
        failing_is_valid_moves_on_to_the_next,
        panicking_connect_or_is_valid_gives_its_place_back,
        panicking_has_broken_gives_its_place_back,
        error_of_connect_reaches_the_caller,
        error_of_connect_is_the_cause_of_a_time_out;
}

#[test]
fn adapter_shows_nothing_and_gives_back_what_it_wraps() {
    let server = Server::default();
    let adapter = R2d2Manager::new(server.clone());
    assert_eq!(format!("{adapter:?}"), "R2d2Manager { .. }");
    let back = adapter.into_inner();
    assert!(std::sync::Arc::ptr_eq(&server.0, &back.0));
}
