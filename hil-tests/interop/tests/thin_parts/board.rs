//! A board whose owner is a test.

use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

use embassy_futures::join::join;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use rift::{Codec, InputEvent, Instant, PublicKey, Rectangle};
use rift_hal::{Decoder, Frame, PixelFormat, Plane};
use rift_sim::Random;
use wavry_interop::End;
use wavry_interop::board::{set_clock, stack};
use wavry_thin::{
    Entropy, InputSource, Memory, Observer, Parts, Provision, Report, Room, Stage, State, Surface, WithEngine,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

use super::{BOARD, FRAME_LEN, HEIGHT, Shared, WIDTH};

/// A screen whose pixels the test sees.
struct Pixels(Vec<u8>, Shared<Vec<u8>>);

impl Surface for Pixels {
    fn size(&self) -> (u16, u16) {
        (WIDTH, HEIGHT)
    }

    fn stride(&self) -> usize {
        usize::from(WIDTH) * 2
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn written(&mut self, _: Rectangle) {
        self.1.borrow_mut().copy_from_slice(&self.0);
    }
}

/// An engine for JPEG, in software; counts what it decodes.
struct Engine {
    pixels: Vec<u8>,
    decoded: Shared<u32>,
}

#[derive(Debug, thiserror::Error)]
#[error("no JPEG")]
struct NoJpeg;

impl Decoder for Engine {
    type Error = NoJpeg;

    fn decode(&mut self, data: &[u8], captured_at: Instant) -> Result<Option<Frame<'_>>, NoJpeg> {
        let mut decoder = JpegDecoder::new(ZCursor::new(data));
        let rgb = decoder.decode().map_err(|_| NoJpeg)?;
        let (width, height) = decoder.dimensions().ok_or(NoJpeg)?;
        self.pixels = rgb.chunks_exact(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0], 0]).collect();
        *self.decoded.borrow_mut() += 1;
        let planes = [Plane { data: &self.pixels, stride: width * 4 }, Plane::EMPTY, Plane::EMPTY];
        let (width, height) = (width as u32, height as u32);
        Ok(Some(Frame::new(PixelFormat::Bgrx, width, height, planes, captured_at).map_err(|_| NoJpeg)?))
    }
}

struct Script(Shared<VecDeque<InputEvent>>);

impl InputSource for Script {
    async fn next(&mut self) -> InputEvent {
        loop {
            if let Some(event) = self.0.borrow_mut().pop_front() {
                return event;
            }
            embassy_time::Timer::after_millis(3).await;
        }
    }
}

struct Dice(Random);

impl Entropy for Dice {
    fn fill(&mut self, bytes: &mut [u8]) -> bool {
        self.0.fill(bytes);
        true
    }
}

struct Flash(Shared<Vec<u8>>);

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(&self.0.borrow()[at as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 1024;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0.borrow_mut()[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.borrow_mut()[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// Who the board said it is, how often it had started, and whether pictures show.
struct Log {
    starts: Shared<Vec<(PublicKey, u32)>>,
    is_watching: Shared<bool>,
    stages: Shared<Vec<Stage>>,
    /// When it last said that it lives.
    alive_at: Instant,
}

impl Observer for Log {
    fn report(&mut self, report: Report<'_>) {
        if let Report::Identity(key, starts) = report {
            self.starts.borrow_mut().push((key, starts));
        } else if let Report::Stage(stage) = report {
            self.stages.borrow_mut().push(stage);
            *self.is_watching.borrow_mut() = stage == Stage::Watching;
        }
    }

    /// A watchdog would have restarted a board that is silent for longer.
    fn alive(&mut self) {
        let now = rift_embassy::now();
        let silent_us = now.micros_since(self.alive_at);
        assert!(silent_us <= 1_000_000, "the watchdog heard nothing for {silent_us} µs");
        self.alive_at = now;
    }
}

/// A board that is switched on.
pub(crate) struct Board(Pin<Box<dyn Future<Output = ()>>>);

/// What the test keeps of a board.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) pixels: Shared<Vec<u8>>,
    pub(crate) typed: Shared<VecDeque<InputEvent>>,
    pub(crate) flash: Shared<Vec<u8>>,
    pub(crate) starts: Shared<Vec<(PublicKey, u32)>>,
    pub(crate) is_watching: Shared<bool>,
    /// How far it got, newest last.
    pub(crate) stages: Shared<Vec<Stage>>,
    /// Rectangles of JPEG that its engine was given.
    pub(crate) decoded: Shared<u32>,
}

impl Seen {
    /// Of a board that is new.
    pub(crate) fn new() -> Self {
        Self {
            pixels: Rc::new(RefCell::new(vec![0; FRAME_LEN])),
            typed: Rc::default(),
            flash: Rc::new(RefCell::new(vec![0xff; 4096])),
            starts: Rc::default(),
            is_watching: Rc::default(),
            stages: Rc::default(),
            decoded: Rc::default(),
        }
    }
}

impl Board {
    pub(crate) fn switch_on(seen: &Seen, end: End, provision: Provision, seed: u64, now: Instant) -> Self {
        set_clock(now);
        let (stack, mut runner) = stack(end, BOARD, seed);
        let parts = Parts {
            surface: WithEngine::new(
                Pixels(vec![0; FRAME_LEN], Rc::clone(&seen.pixels)),
                Codec::Jpeg,
                Engine { pixels: Vec::new(), decoded: Rc::clone(&seen.decoded) },
            ),
            input: Script(Rc::clone(&seen.typed)),
            entropy: Dice(Random::new(seed)),
            flash: Flash(Rc::clone(&seen.flash)),
            observer: Log {
                starts: Rc::clone(&seen.starts),
                is_watching: Rc::clone(&seen.is_watching),
                stages: Rc::clone(&seen.stages),
                alive_at: now,
            },
        };
        let buffer = || Box::leak(vec![0; 100_000].into_boxed_slice());
        let room = Room {
            memory: Box::leak(Box::new(Memory::new())),
            state: Box::leak(Box::new(State::new())),
            pictures: [buffer(), buffer()],
        };
        Self(Box::pin(async move {
            join(wavry_thin::run(parts, provision, stack, room), runner.run()).await;
        }))
    }

    pub(crate) fn step(&mut self, now: Instant) {
        set_clock(now);
        let ended = self.0.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(ended.is_pending(), "only a fault ends it");
    }
}
