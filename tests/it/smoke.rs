use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use watertight::*;

#[test]
fn smoke_tokio() {
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let n = Arc::new(AtomicUsize::new(0));
        let m = n.clone();
        let pool = Pool::from_fn(move || {
            let n = m.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, std::io::Error>(n.fetch_add(1, Ordering::SeqCst))
            }
        })
        .max_size(4)
        .build()
        .unwrap();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for _ in 0..100 {
                        let c = pool.acquire().await.unwrap();
                        tokio::task::yield_now().await;
                        drop(c);
                    }
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
        println!("{:?} {:?}", pool.status(), pool.statistics());
        let held: Vec<_> = [
            pool.acquire().await.unwrap(),
            pool.acquire().await.unwrap(),
            pool.acquire().await.unwrap(),
            pool.acquire().await.unwrap(),
        ]
        .into();
        let e = pool
            .acquire_timeout(Duration::from_millis(50))
            .await
            .unwrap_err();
        println!("{e} / {e:?}");
        drop(held);
        pool.close().await;
        println!("{:?} {:?}", pool.status(), pool.statistics());
        assert_eq!(n.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn smoke_sync() {
    let pool = SyncPool::from_fn(|| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok::<_, std::io::Error>(1u8)
    })
    .max_size(2)
    .min_idle(1)
    .build()
    .unwrap();
    pool.fill().unwrap();
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for _ in 0..1000 {
                    let _c = pool.acquire().unwrap();
                }
            });
        }
    });
    println!("{:?} {:?}", pool.status(), pool.statistics());
    pool.close();
    println!("{:?} {:?}", pool.status(), pool.statistics());
}
