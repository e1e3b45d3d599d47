//! A TCP server that answers every byte with that byte, or is silent, or resets; and that can go
//! away and come back on the same port.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use socket2::{Domain, Socket, Type};

/// What the server does when it is sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Answers,
    Silent,
    Resets,
}

pub(super) struct Server {
    address: SocketAddr,
    house: Arc<House>,
    accepting: Option<thread::JoinHandle<()>>,
    /// Holds the port while nobody listens on it: whoever connects is refused.
    reserved: Option<Socket>,
}

struct House {
    guests: Mutex<Guests>,
    present: AtomicUsize,
}

struct Guests {
    welcome: Manner,
    closed: bool,
    all: Vec<Guest>,
}

#[derive(Clone)]
struct Guest {
    stream: Arc<TcpStream>,
    manner: Arc<Mutex<Manner>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let socket = bind("127.0.0.1:0".parse().unwrap());
        let mut server = Server {
            address: socket.local_addr().unwrap().as_socket().unwrap(),
            house: Arc::new(House {
                guests: Mutex::new(Guests {
                    welcome: Manner::Answers,
                    closed: false,
                    all: Vec::new(),
                }),
                present: AtomicUsize::new(0),
            }),
            accepting: None,
            reserved: Some(socket),
        };
        server.come_back();
        server
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, those who come are treated like this.
    pub(super) fn welcome(&self, manner: Manner) {
        self.house.guests().welcome = manner;
    }

    /// From now on, those who are there are treated like this.
    pub(super) fn turn(&self, manner: Manner) {
        for guest in &self.house.guests().all {
            *guest.manner.lock().unwrap() = manner;
        }
    }

    /// True if every connection has been closed by the other side, and nobody is left.
    pub(super) fn is_deserted(&self) -> bool {
        self.house.present.load(Ordering::SeqCst) == 0
    }

    /// Ends every connection and listens no more.
    pub(super) fn go_away(&mut self) {
        self.reserved = Some(bind(self.address));
        self.house.guests().closed = true;
        // Somebody has to come for the door to be found closed.
        let _ = TcpStream::connect(self.address);
        self.accepting.take().map(thread::JoinHandle::join);
        for guest in self.house.guests().all.drain(..) {
            let _ = guest.stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn come_back(&mut self) {
        let socket = self.reserved.take().expect("it is away");
        socket.listen(128).unwrap();
        self.house.guests().closed = false;
        let (listener, house) = (TcpListener::from(socket), Arc::clone(&self.house));
        self.accepting = Some(thread::spawn(move || house.receive(&listener)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.go_away();
        }
    }
}

/// Several may be bound to one port, so that it can be held while nobody listens.
fn bind(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

impl House {
    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap()
    }

    fn receive(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let mut guests = self.guests();
            if guests.closed {
                return;
            }
            let guest = Guest {
                stream: Arc::new(stream.unwrap()),
                manner: Arc::new(Mutex::new(guests.welcome)),
            };
            guests.all.push(guest.clone());
            self.present.fetch_add(1, Ordering::SeqCst);
            let house = Arc::clone(self);
            thread::spawn(move || house.entertain(&guest));
        }
    }

    fn entertain(&self, guest: &Guest) {
        let mut stream = &*guest.stream;
        let mut byte = [0];
        while matches!(stream.peek(&mut byte), Ok(1)) {
            match *guest.manner.lock().unwrap() {
                // What is unread when a connection is closed makes the kernel reset it.
                Manner::Resets => break,
                Manner::Silent => drop(stream.read(&mut byte)),
                Manner::Answers => {
                    let _ = stream.read(&mut byte);
                    let _ = stream.write(&byte);
                }
            }
        }
        self.guests()
            .all
            .retain(|other| !Arc::ptr_eq(&other.stream, &guest.stream));
        self.present.fetch_sub(1, Ordering::SeqCst);
    }
}
