use super::*;

/// The capacity for a crowd before and after it is looked at, when so many are left of it.
fn shrunk(crowd: usize, left: usize) -> (usize, usize) {
    let mut map = HashMap::with_capacity(crowd);
    map.extend((0..left).map(|n| (n, ())));
    let before = map.capacity();
    shrink(&mut map);
    assert_eq!(map.len(), left);
    (before, map.capacity())
}

#[test]
fn memory_of_a_crowd_is_given_back_when_few_are_left() {
    let (before, after) = shrunk(1700, 100);
    assert!(before > 1024);
    assert!(
        (200..1024).contains(&after),
        "room for twice as many: {after}"
    );
}

#[test]
fn memory_is_kept_while_an_eighth_is_used_or_if_it_is_little() {
    let (before, _) = shrunk(1700, 0);
    let eighth = before / 8;
    assert_eq!(shrunk(1700, eighth), (before, before));
    assert!(shrunk(1700, eighth - 1).1 < before);
    let (before, after) = shrunk(800, 1);
    assert!(before <= 1024);
    assert_eq!(after, before);
}

/// Drops all tasks.
struct Nowhere;

impl crate::Spawner for Nowhere {
    fn spawn(&self, _: crate::BoxFuture<()>) {}
}

impl crate::Timer for Nowhere {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, _: Instant) -> crate::BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn the_names_of_a_crowd_leave_little_when_it_has_been_forgotten() {
    // Enough of them that what is left of the table when they have gone would still be a crowd's.
    const CROWD: u64 = 6000;
    type Connect = fn() -> std::future::Ready<Result<(), ()>>;
    let connect: Connect = || std::future::ready(Ok(()));
    let runtime: Arc<dyn crate::Runtime> = Arc::new(Nowhere);
    let config = Config::default();
    let mut books = Books::new(1, &config);
    for number in 0..CROWD {
        let key = Arc::new(number);
        let handle = Shared::start(
            crate::FromFn::new(connect),
            config,
            Arc::clone(&runtime),
            crate::observer::Audience::default(),
            None,
        );
        books.names.insert(Arc::clone(&key), TenantId(number));
        let tenant = Tenant {
            key,
            handle,
            users: 0,
            account: Account::default(),
        };
        books.tenants.insert(TenantId(number), tenant);
    }
    assert!(books.names.capacity() > 1024);
    let mut todo = Todo::new();
    for number in 0..CROWD {
        books.forget(TenantId(number), &mut todo);
    }
    todo.carry_out();
    assert!(books.names.is_empty() && books.tenants.is_empty());
    assert!(books.names.capacity() <= 1024);
}
