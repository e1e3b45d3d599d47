//! The pool on smol: eight tasks share two connections to an echo server.

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use watertight::Pool;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    smol::block_on(async {
        let address = start_echo_server().await?;

        let pool = Pool::from_fn(move || TcpStream::connect(address))
            .max_size(2)
            .build()?;

        let tasks: Vec<smol::Task<Result<(), Error>>> = (0..8)
            .map(|n| {
                let pool = pool.clone();
                smol::spawn(async move {
                    let mut connection = pool.acquire().await?;
                    connection.write_all(&[n]).await?;
                    let mut answer = [0];
                    connection.read_exact(&mut answer).await?;
                    println!("{n} came back as {}", answer[0]);
                    Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }

        println!("{}", pool.status());
        pool.close().await;
        Ok(())
    })
}

async fn start_echo_server() -> std::io::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    smol::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            smol::spawn(smol::io::copy(stream.clone(), stream)).detach();
        }
    })
    .detach();
    Ok(address)
}
