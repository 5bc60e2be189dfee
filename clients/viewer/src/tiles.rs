//! Pictures made of tiles, drawn into a screen of this viewer's own.

use rift::{Instant, PictureId, StreamParameters};
use rift_hal::{Frame, Plane};
use rift_tiles::{DecodeError, Decoder, Grid, Pixel, Rgb888, Screen, TileSet};

/// The screen that tiles are drawn into.
#[derive(Debug, Default)]
pub struct TileScreen {
    decoder: Option<Box<Decoder>>,
    grid: Option<Grid>,
    pixels: Vec<u8>,
    wrong: Vec<u32>,
}

/// Tiles that show something else than the host meant: its report, for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// After which picture.
    pub after: PictureId,
    /// Which tiles.
    pub report: Vec<u8>,
}

impl TileScreen {
    /// A new session has nothing on its screen.
    pub fn reset(&mut self) {
        self.grid = None;
    }

    /// Draws a picture. The frame is the whole screen; beside it, what turned out to be wrong.
    ///
    /// # Errors
    /// [`DecodeError`]; the screen then shows nothing that is to be seen.
    pub fn draw(
        &mut self,
        id: PictureId,
        parameters: &StreamParameters,
        bytes: &[u8],
        at: Instant,
    ) -> Result<(Option<Frame<'_>>, Option<Wrong>), DecodeError> {
        let Some(grid) = Grid::new(parameters.width, parameters.height) else { return Ok((None, None)) };
        let stride = usize::from(grid.width()) * Rgb888::BYTES;
        if self.grid != Some(grid) {
            self.grid = Some(grid);
            self.pixels.clear();
            self.pixels.resize(stride * usize::from(grid.height()), 0);
            self.wrong.clear();
            self.wrong.resize(TileSet::words(grid), 0);
        }
        let screen = Screen::<Rgb888>::new(&mut self.pixels, stride, grid.width(), grid.height());
        let (Ok(mut screen), Some(mut wrong)) = (screen, TileSet::new(grid, &mut self.wrong)) else {
            return Ok((None, None));
        };
        let decoder = self.decoder.get_or_insert_with(|| Box::new(Decoder::new()));
        let decoded = decoder.decode(bytes, &mut screen, Some(&mut wrong))?;
        let report = (decoded.wrong > 0).then(|| {
            let mut report = vec![0; rift::limits::TILE_REPORT_MAX];
            let len = wrong.emit(&mut report);
            report.truncate(len);
            Wrong { after: id, report }
        });
        let planes = [Plane { data: &self.pixels, stride }, Plane::EMPTY, Plane::EMPTY];
        let (width, height) = (grid.width().into(), grid.height().into());
        Ok((Frame::new(Rgb888::FORMAT, width, height, planes, at).ok(), report))
    }
}
