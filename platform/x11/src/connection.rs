//! Opening a display and asking what it can do.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::shm;
use x11rb::protocol::xproto::{ImageOrder, Screen};
use x11rb::rust_connection::RustConnection;

use crate::Error;

/// Bytes of one pixel of every image here.
pub(crate) const PIXEL: usize = 4;

/// Connects to `display` (`None` = the environment's) and returns its default screen with it.
pub(crate) fn connect(display: Option<&str>) -> Result<(RustConnection, Screen), Error> {
    let (connection, index) = RustConnection::connect(display)?;
    let screen = connection.setup().roots[index].clone();
    Ok((connection, screen))
}

/// Refuses every pixel layout but ours: 32 bits, blue in the lowest byte.
pub(crate) fn check_pixels(connection: &RustConnection, screen: &Screen) -> Result<(), Error> {
    let setup = connection.setup();
    let depth = screen.root_depth;
    let padded = setup.pixmap_formats.iter().any(|f| f.depth == depth && f.bits_per_pixel == 32);
    let visual = screen
        .allowed_depths
        .iter()
        .flat_map(|allowed| &allowed.visuals)
        .find(|visual| visual.visual_id == screen.root_visual);
    let ordered =
        visual.is_some_and(|v| v.red_mask == 0xff_0000 && v.green_mask == 0xff00 && v.blue_mask == 0xff);
    let little = setup.image_byte_order == ImageOrder::LSB_FIRST;
    if matches!(depth, 24 | 32) && padded && ordered && little { Ok(()) } else { Err(Error::Pixels(depth)) }
}

/// Whether memory can be shared with the server: it is on this machine, its socket passes descriptors,
/// and it knows MIT-SHM 1.2.
pub(crate) fn shares_memory(connection: &RustConnection) -> Result<bool, Error> {
    let Ok(descriptor) = connection.stream().as_fd().try_clone_to_owned() else {
        return Ok(false);
    };
    // The address of anything but a Unix socket is an error here.
    if UnixStream::from(descriptor).peer_addr().is_err() {
        return Ok(false);
    }
    if connection.extension_information(shm::X11_EXTENSION_NAME)?.is_none() {
        return Ok(false);
    }
    let version = shm::query_version(connection)?.reply()?;
    Ok((version.major_version, version.minor_version) >= (1, 2))
}

/// Fails unless the server has the extension `name`.
pub(crate) fn require(connection: &RustConnection, name: &'static str) -> Result<(), Error> {
    connection.extension_information(name)?.map(drop).ok_or(Error::Extension(name))
}
