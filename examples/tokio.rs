//! The pool on tokio: eight tasks share two connections to an echo server.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use watertight::Pool;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = start_echo_server().await?;

    let pool = Pool::from_fn(move || TcpStream::connect(address))
        .max_size(2)
        .build()?;

    let tasks: Vec<tokio::task::JoinHandle<Result<(), Error>>> = (0..8)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut connection = pool.acquire().await?;
                connection.write_u8(n).await?;
                println!("{n} came back as {}", connection.read_u8().await?);
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }

    println!("{}", pool.status());
    pool.close().await;
    Ok(())
}

async fn start_echo_server() -> std::io::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    Ok(address)
}
