//! A tiny server of the Model Context Protocol, for a gateway that was given no other. It behaves
//! well, unless it is asked for one of the faults that it has for tests.
//!
//! It is a synchronous program of its own: it shares nothing with the gateway but the file.

use std::io::{self, BufRead, Write};
use std::process;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The tools, and what they are for.
const TOOLS: &[(&str, &str)] = &[
    ("echo", "Returns its `message`."),
    (
        "chat",
        "Sends a notification and a ping of its own before it answers.",
    ),
    ("exit", "Ends without an answer."),
    (
        "hang",
        "Does not answer for a minute, and does not notice its input close.",
    ),
    ("garbage", "Prints what is no message."),
    ("half", "Prints half an answer and ends."),
    ("flood", "Prints a line that never ends."),
    ("late", "Answers, correctly, after `milliseconds`."),
];

/// Serves until the input ends.
pub(crate) fn serve() -> io::Result<()> {
    let mut server = Server {
        input: io::stdin().lock(),
        output: io::stdout().lock(),
    };
    while let Some(line) = server.read()? {
        match serde_json::from_str(&line) {
            Ok(message) => server.handle(&message)?,
            Err(error) => server.fail(&Value::Null, -32700, &error.to_string())?,
        }
    }
    Ok(())
}

struct Server<R, W> {
    input: R,
    output: W,
}

impl<R: BufRead, W: Write> Server<R, W> {
    fn read(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let read = self.input.read_line(&mut line)?;
        Ok((read > 0).then_some(line))
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        self.output.write_all(text.as_bytes())?;
        self.output.flush()
    }

    fn send(&mut self, message: &Value) -> io::Result<()> {
        self.print(&format!("{message}\n"))
    }

    fn answer(&mut self, id: &Value, result: &Value) -> io::Result<()> {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result }))
    }

    fn fail(&mut self, id: &Value, code: i32, message: &str) -> io::Result<()> {
        let error = json!({ "code": code, "message": message });
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "error": error }))
    }

    fn handle(&mut self, message: &Value) -> io::Result<()> {
        let Some(id) = message.get("id") else {
            return Ok(());
        };
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => self.answer(id, &greeting(params)),
            "ping" => self.answer(id, &json!({})),
            "tools/list" => self.answer(id, &json!({ "tools": tools() })),
            "tools/call" => self.call(id, &params["name"], &params["arguments"]),
            method => self.fail(id, -32601, &format!("no such method: {method}")),
        }
    }

    fn call(&mut self, id: &Value, tool: &Value, arguments: &Value) -> io::Result<()> {
        match tool.as_str().unwrap_or_default() {
            "echo" => self.echo(id, arguments),
            "chat" => {
                self.chat()?;
                self.echo(id, arguments)
            }
            "late" => {
                thread::sleep(Duration::from_millis(
                    arguments["milliseconds"].as_u64().unwrap_or(100),
                ));
                self.echo(id, arguments)
            }
            "exit" => process::exit(3),
            "hang" => {
                thread::sleep(Duration::from_secs(60));
                Ok(())
            }
            "garbage" => self.print("Segmentation fault (core dumped)\n"),
            "half" => {
                self.print("{\"jsonrpc\":\"2.0\",\"id\":")?;
                process::exit(0)
            }
            "flood" => loop {
                self.print(&"all work and no play ".repeat(1000))?;
            },
            tool => self.fail(id, -32602, &format!("no such tool: {tool}")),
        }
    }

    fn echo(&mut self, id: &Value, arguments: &Value) -> io::Result<()> {
        let text = arguments["message"].as_str().unwrap_or_default();
        let content = json!([{ "type": "text", "text": text }]);
        self.answer(id, &json!({ "content": content, "isError": false }))
    }

    /// Says this and that, and insists on an answer to its ping.
    fn chat(&mut self) -> io::Result<()> {
        let progress = json!({ "progressToken": "t", "progress": 1 });
        self.send(&json!({
            "jsonrpc": "2.0", "method": "notifications/progress", "params": progress,
        }))?;
        self.send(&json!({ "jsonrpc": "2.0", "id": "mine", "method": "ping" }))?;
        let reply: Value = serde_json::from_str(&self.read()?.unwrap_or_default())?;
        if reply["id"] == "mine" && reply["result"].is_object() {
            return Ok(());
        }
        Err(io::Error::other("my ping was not answered"))
    }
}

fn greeting(params: &Value) -> Value {
    json!({
        "protocolVersion": params["protocolVersion"],
        "capabilities": { "tools": {} },
        "serverInfo": { "name": "watertight-demo", "version": env!("CARGO_PKG_VERSION") },
    })
}

fn tools() -> Vec<Value> {
    let schema = json!({ "type": "object" });
    TOOLS
        .iter()
        .map(|(name, text)| json!({ "name": name, "description": text, "inputSchema": schema }))
        .collect()
}
