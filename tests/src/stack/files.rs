//! Files of a stack, and what its ports answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Copies a folder of files.
pub(super) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp starts");
    assert!(copied.success(), "cp -a {} {}", from.display(), to.display());
}

/// Whether a GET of this path is answered with 200.
pub fn get(address: SocketAddr, path: &str) -> bool {
    answer(address, path).is_some_and(|text| text.starts_with("HTTP/1.1 200 "))
}

/// What a GET of this path is answered, head and all.
pub fn answer(address: SocketAddr, path: &str) -> Option<String> {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    answer().ok()
}

/// Writes a file and the folders above it.
pub(super) fn write_file(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
