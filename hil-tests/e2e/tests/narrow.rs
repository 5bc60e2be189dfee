//! A network that becomes too narrow for all pixels: smaller pictures come, fill the window and are steered as exactly, and
//! whole ones come back.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use wavry_e2e::link::Link;
use wavry_e2e::process::{Guarded, clock, pause, wait_for};
use wavry_e2e::programs::{Client, Host};
use wavry_e2e::screen::Screen;
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, Gcontext, ImageFormat, Pixmap, Window,
    WindowClass,
};
use x11rb::rust_connection::RustConnection;

const WIDTH: u16 = 1920;
const HEIGHT: u16 = 1080;
const WIDE_BPS: u64 = 30_000_000;
const NARROW_BPS: u64 = 650_000;
/// Rows of an image that one request carries.
const ROWS: u16 = 30;

/// A window that covers the host's screen, on which noise moves, and which is told of clicks.
struct Noise {
    connection: RustConnection,
    window: Window,
    pixmap: Pixmap,
    context: Gcontext,
}

impl Noise {
    fn cover(screen: &Screen) -> Self {
        let (connection, number) = x11rb::connect(Some(&screen.display)).expect("the screen answers");
        let root = &connection.setup().roots[number];
        let (root, depth) = (root.root, root.root_depth);
        let [window, pixmap, context] = core::array::from_fn(|_| connection.generate_id().expect("an id"));
        let attributes = CreateWindowAux::new().event_mask(EventMask::BUTTON_PRESS).override_redirect(1);
        let class = WindowClass::INPUT_OUTPUT;
        connection
            .create_window(0, window, root, 0, 0, WIDTH, HEIGHT, 0, class, 0, &attributes)
            .expect("sent");
        connection.create_pixmap(depth, pixmap, root, WIDTH, HEIGHT).expect("sent");
        connection.create_gc(context, pixmap, &CreateGCAux::new()).expect("sent");
        for top in (0..HEIGHT).step_by(usize::from(ROWS)) {
            let noise = |at: u32| (at.wrapping_mul(0x9e37_79b1) ^ at >> 7).wrapping_mul(0x2c1b_3c6d);
            let pixels = 0..u32::from(WIDTH) * u32::from(ROWS);
            // Blocks of eight pixels: some of them stay what they are when they are made smaller.
            let data: Vec<u8> = pixels
                .flat_map(|at| noise((u32::from(top / 8) << 16) + at % u32::from(WIDTH) / 8).to_le_bytes())
                .collect();
            let top = i16::try_from(top).expect("a row of the screen");
            connection
                .put_image(ImageFormat::Z_PIXMAP, pixmap, context, WIDTH, ROWS, 0, top, 0, depth, &data)
                .expect("sent");
        }
        connection.map_window(window).expect("sent").check().expect("mapped");
        Self { connection, window, pixmap, context }
    }

    /// Moves the noise to another place.
    fn draw(&self, tick: i16) {
        let (left, top) = (tick * 37 % 400, tick * 23 % 200);
        let (right, bottom) = (WIDTH - left.unsigned_abs(), HEIGHT - top.unsigned_abs());
        self.connection
            .copy_area(self.pixmap, self.window, self.context, left, top, 0, 0, right, bottom)
            .expect("sent");
        self.connection.flush().expect("sent");
    }

    /// Where the next click was.
    fn click(&self) -> Option<(i16, i16)> {
        wait_for(|| match self.connection.poll_for_event().expect("the screen lives") {
            Some(Event::ButtonPress(event)) => Some((event.root_x, event.root_y)),
            _ => None,
        })
    }
}

/// The size that the client was told last.
fn told_size(client: &Guarded) -> Option<(u16, u16)> {
    let words = client.words();
    let (_, rest) = words.rsplit_once("the stream is ")?;
    let mut numbers = rest.split(|letter: char| !letter.is_ascii_digit()).filter(|word| !word.is_empty());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn wait_for_size(client: &Guarded, is_right: impl Fn((u16, u16)) -> bool) -> (u16, u16) {
    let size = wait_for(|| told_size(client).filter(|size| is_right(*size)));
    size.unwrap_or_else(|| panic!("the size stays {:?}: {}", told_size(client), client.words()))
}

#[test]
fn narrow_network_gets_smaller_pictures_that_are_steered_as_exactly_until_it_is_wide_again() {
    let size = (WIDTH.into(), HEIGHT.into());
    let (Some(host_screen), Some(viewer_screen)) =
        (Screen::start(size.0, size.1), Screen::start(size.0, size.1))
    else {
        return;
    };
    let noise = Noise::cover(&host_screen);
    let host = Host::start(&format!("x11:{}", host_screen.display), &[]);
    let keys = Client::allowed_by(&host);
    let link = Link::to(&host.address, WIDE_BPS);
    let display = Some(viewer_screen.display.as_str());
    let client = keys.connect_to(&link.address, &host.id, display, &["--fullscreen"]);
    let (hands, pointer) = (viewer_screen.hands(), host_screen.hands());
    let mut x = 100;
    let steered = wait_for(|| {
        x = if x > 300 { 100 } else { x + 1 };
        hands.point(x, 200);
        pause(Duration::from_millis(20));
        (pointer.pointer() == (x, 200)).then_some(())
    });
    assert!(steered.is_some(), "the host's pointer never follows: {}", client.words());
    assert_eq!(wait_for_size(&client, |_| true), (WIDTH, HEIGHT));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for tick in (0..500).cycle() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                noise.draw(tick);
                pause(Duration::from_millis(40));
            }
        });
        // Whatever fails, the thread is to end.
        let outcome = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            link.set_rate(NARROW_BPS);
            let begun = clock();
            let small = wait_for_size(&client, |size| size != (WIDTH, HEIGHT));
            println!("{small:?} after {} ms", begun.elapsed().as_millis());
            assert!([(1440, 810), (960, 540)].contains(&small), "{small:?}");
            for (x, y) in [(0, 0), (1919, 1079), (1, 1078), (959, 541), (1281, 303), (722, 899)] {
                hands.point(x, y);
                hands.click(1);
                assert_eq!(noise.click(), Some((x, y)), "{}", client.words());
            }
            // The noise is grey on average; what the picture does not cover would be black.
            let corner = wait_for(|| {
                let bright: u32 = (0..40).map(|at| hands.pixel(1919 - at, 1079 - at) & 0xff).sum();
                (bright > 40 * 40).then_some(())
            });
            assert!(corner.is_some(), "the picture does not fill the window");
            assert_ne!(told_size(&client), Some((WIDTH, HEIGHT)), "it was small all the time");
            link.set_rate(WIDE_BPS);
            let begun = clock();
            wait_for_size(&client, |size| size == (WIDTH, HEIGHT));
            println!("whole again after {} ms", begun.elapsed().as_millis());
            hands.point(1283, 305);
            hands.click(1);
            assert_eq!(noise.click(), Some((1283, 305)));
        }));
        is_over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
