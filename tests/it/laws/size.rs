//! How many connections there are.

use crate::support::{Lent, World, join, laws, ok};

laws! {
    every_mode:
        twenty_tasks_share_four_connections,
        connect_under_way_takes_a_place,
        one_task_needs_one_connection,
        new_pool_connects_to_nothing;
}

/// Law 1.
async fn twenty_tasks_share_four_connections(w: World) {
    w.connects().always(ok().after(w.ms(5)));
    let pool = w.pool(|b| b.max_size(4));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (w, pool) = (w.clone(), pool.clone());
            w.clone().spawn(async move {
                let _conn = pool.acquire().await.unwrap();
                w.sleep(500).await;
            })
        })
        .collect();
    join(tasks).await;
    assert_eq!(w.connects().calls(), 4);
    assert_eq!(w.ledger().peak(), 4);
}

/// Law 2.
async fn connect_under_way_takes_a_place(w: World) {
    let pool = w.pool(|b| b.max_size(1));
    let gate = crate::support::Gate::new();
    w.connects().next([ok().at(&gate)]);
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let pool = pool.clone();
            w.spawn(async move { drop(pool.acquire().await.unwrap()) })
        })
        .collect();
    w.until(|| pool.status().waiting == 2).await;
    assert_eq!(w.ledger().count().connecting, 1);
    gate.open();
    join(tasks).await;
    assert_eq!(w.connects().calls(), 1);
}

/// Law 3.
async fn one_task_needs_one_connection(w: World) {
    let pool = w.pool(|b| b.max_size(10));
    for _ in 0..1000 {
        let conn: Lent = pool.acquire().await.unwrap();
        assert_eq!(conn.id(), 0);
    }
    assert_eq!(w.connects().calls(), 1);
}

/// Law 8.
async fn new_pool_connects_to_nothing(w: World) {
    let pool = w.pool(|b| b);
    w.settle().await;
    assert_eq!(w.connects().calls(), 0);
    assert_eq!(pool.status().size, 0);
    drop(pool.acquire().await.unwrap());
    assert_eq!(w.connects().calls(), 1);
}
