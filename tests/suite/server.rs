//! The real binary, started on a port of its own, and a client that says what it means byte by
//! byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub fn hourglass() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hourglass"));
    command.env_remove("HOURGLASS_DATA_DIR").stdin(Stdio::null());
    command
}

pub struct Server {
    child: Child,
    pub address: String,
    /// The address that takes events alone, and that of PostgreSQL, if there is one.
    pub ingest: Option<String>,
    pub postgres: Option<String>,
}

impl Server {
    pub fn start(data_dir: &Path, env: &[(&str, &str)]) -> Server {
        Server::start_with_log(data_dir, env, "error", Stdio::inherit())
    }

    /// With log lines from a level on going somewhere.
    pub fn start_with_log(
        data_dir: &Path,
        env: &[(&str, &str)],
        level: &str,
        log: Stdio,
    ) -> Server {
        Server::start_by(hourglass(), data_dir, env, level, log)
    }

    /// Starts it by a command that ends in the binary.
    pub fn start_by(
        mut command: Command,
        data_dir: &Path,
        env: &[(&str, &str)],
        level: &str,
        log: Stdio,
    ) -> Server {
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log", level, "--data-dir"])
            .arg(data_dir);
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let of = |scheme: &str, n: usize| {
            let rest = line.split(scheme).nth(n)?.split([' ', ',']).next()?;
            Some(rest.to_string())
        };
        let address = of("http://", 1).or_else(|| of("https://", 1));
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
        let (ingest, postgres) = (of("http://", 2), of("postgres://", 1));
        Server { child, address, ingest, postgres }
    }

    pub fn connect(&self) -> Client {
        Client::connect(&self.address).expect("the server accepts")
    }

    /// Bytes of memory that the process holds.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that it held.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        kilobytes.unwrap().parse::<u64>().unwrap() << 10
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept.
pub struct Client(BufReader<TcpStream>);

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Client {
    pub fn connect(address: &str) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    /// Sends bytes as they are and reads nothing.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends bytes as they are and reads one answer.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<Answer> {
        self.write(bytes)?;
        self.read()
    }

    /// Reads until the server closes the connection.
    pub fn read_to_end(&mut self, answer: &mut String) -> std::io::Result<usize> {
        self.0.read_to_string(answer)
    }

    pub fn read(&mut self) -> std::io::Result<Answer> {
        let mut head = String::new();
        loop {
            let before = head.len();
            if self.0.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if &head[before..] == "\r\n" {
                break;
            }
        }
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        answer.body = String::from_utf8(body).expect("text");
        Ok(answer)
    }

    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        self.send(&[head.as_bytes(), body].concat())
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).unwrap()
    }

    pub fn post(&mut self, target: &str) -> std::io::Result<Answer> {
        self.request("POST", target, "", b"")
    }
}
