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

type Connect = fn() -> std::future::Ready<Result<(), ()>>;

/// Enters a tenant by that number into the books.
fn enter(books: &mut Books<u64, crate::FromFn<Connect>>, number: u64) {
    let connect: Connect = || std::future::ready(Ok(()));
    let key = Arc::new(number);
    let handle = Shared::start(
        crate::FromFn::new(connect),
        Config::default(),
        Arc::new(Nowhere),
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

/// A tenant for whom so many wait.
fn hungry(waiters: usize) -> Books<u64, crate::FromFn<Connect>> {
    let mut books = Books::new(4, &Config::default());
    enter(&mut books, 0);
    let tenant = &books.tenants[&TenantId(0)];
    let mut state = tenant.handle.shared.state.lock();
    state.become_tenant(0);
    for _ in 0..waiters {
        let (mut fx, mut waker) = (Effects::new(), Some(std::task::Waker::noop().clone()));
        let joined = state.join(Moment::START, Moment::NEVER, &mut waker, &mut fx);
        assert!(matches!(joined, crate::state::Join::Queued { .. }));
    }
    drop(state);
    books
}

#[test]
fn place_that_is_of_no_use_is_given_up_again() {
    let mut books = hungry(0);
    let (mut todo, at) = (Todo::new(), Instant::now());
    books.grant(TenantId(0), at, &mut todo);
    assert_eq!(books.tenants[&TenantId(0)].standing(at).spare, 0);
    todo.carry_out();
}

#[test]
fn whoever_has_use_for_another_place_is_in_the_queue_for_that() {
    let mut books = hungry(2);
    let (mut todo, at) = (Todo::new(), Instant::now());
    books.grant(TenantId(0), at, &mut todo);
    let standing = books.tenants[&TenantId(0)].standing(at);
    assert_eq!((standing.size, standing.hunger), (1, 1));
    assert_eq!(books.accounts.first(), Some(TenantId(0)));
}

#[test]
fn the_names_of_a_crowd_leave_little_when_it_has_been_forgotten() {
    // Enough of them that what is left of the table when they have gone would still be a crowd's.
    const CROWD: u64 = 6000;
    let mut books = Books::new(1, &Config::default());
    for number in 0..CROWD {
        enter(&mut books, number);
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
