use super::*;

fn status() -> Status {
    Status {
        max_size: 9,
        size: 5,
        idle: 2,
        in_use: 3,
        connecting: 0,
        checking: 0,
        recycling: 0,
        closing: 0,
        waiting: 4,
        oldest_waiter: None,
        paused: false,
        closed: false,
    }
}

#[test]
fn status_says_what_there_always_is_and_the_rest_only_where_there_is_some() {
    let all = "3 of 9 in use, 2 idle, 0 connecting, 4 waiting";
    assert_eq!(status().to_string(), all);
    let more = Status {
        checking: 1,
        recycling: 2,
        closing: 3,
        paused: true,
        ..status()
    };
    let rest = ", 1 checking, 2 recycling, 3 closing, paused";
    assert_eq!(more.to_string(), format!("{all}{rest}"));
}

#[test]
fn totals_are_the_sums_of_their_parts() {
    let timeouts = Timeouts {
        wait: 2,
        check: 3,
        connect: 5,
    };
    assert_eq!((timeouts.total(), Timeouts::default().total()), (10, 0));
    let mut rejections = Rejections::default();
    let each = [
        (Rejection::Paused, 2),
        (Rejection::QueueFull, 3),
        (Rejection::Shed, 5),
    ];
    for (why, times) in each {
        for _ in 0..times {
            rejections.count(why);
        }
    }
    let parts = (rejections.paused, rejections.queue_full, rejections.shed);
    assert_eq!((parts, rejections.total()), ((2, 3, 5), 10));
    let mut closes = Closes::default();
    for (times, &reason) in CloseReason::ALL.iter().enumerate() {
        for _ in 0..times {
            closes.count(reason);
        }
        assert_eq!(closes.get(reason), times as u64, "{reason}");
    }
    let number = CloseReason::ALL.len() as u64;
    assert_eq!(closes.total(), number * (number - 1) / 2);
}
