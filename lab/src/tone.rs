//! Whether a recording holds a tone: what a phone heard.
//!
//! Each phone sends a tone of its own instead of a voice, so a tone in a recording says who was heard. Goertzel's
//! algorithm gives the energy at one frequency; compared with the energy of all, it is 1 for a pure tone of that
//! frequency and near 0 for anything else.

use std::f64::consts::TAU;

/// A stretch this long is judged at once: a call with a few gaps still has such a one.
const WINDOW_MS: usize = 400;
/// Share of the energy that must lie at the frequency. G.711 and gaps leave a tone above 0.9.
const SHARE_MIN: f64 = 0.7;
/// Quieter than this, as the mean square of 16-bit samples, is silence whatever its pitch: -50 dB of full scale.
const MEAN_SQUARE_MIN: f64 = 10_000.0;

/// Samples of a recording, one channel.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Recording {
    pub(crate) rate_hz: u32,
    pub(crate) samples: Vec<i16>,
}

impl Recording {
    /// Reads a WAV file of 16-bit samples, which may still be written to: its lengths are not believed. `None`
    /// if there is no whole header yet, or it holds something else. Of several channels the first counts.
    pub(crate) fn parse(wav: &[u8]) -> Option<Self> {
        let mut rest = wav.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
        let mut format = None;
        loop {
            let (head, body) = rest.split_at_checked(8)?;
            let len = u32::from_le_bytes(head[4..8].try_into().ok()?) as usize;
            match &head[..4] {
                b"data" => return Some(Self::from_data(format?, body)),
                b"fmt " => format = Some(Format::parse(body)?),
                _ => {}
            }
            // Chunks begin at even places.
            rest = body.get(len.checked_add(len & 1)?..)?;
        }
    }

    fn from_data(format: Format, data: &[u8]) -> Self {
        let frames = data.chunks_exact(2 * usize::from(format.channels));
        let samples = frames.map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect();
        Self { rate_hz: format.rate_hz, samples }
    }

    /// Whether some stretch of it is this tone.
    pub(crate) fn has_tone(&self, hz: u32) -> bool {
        let window = (self.rate_hz as usize * WINDOW_MS / 1000).max(1);
        let mut starts = (0..self.samples.len()).step_by(window.div_ceil(2));
        starts.any(|start| {
            let stretch = self.samples.get(start..start + window);
            stretch.is_some_and(|stretch| is_tone(stretch, self.rate_hz, hz))
        })
    }
}

#[derive(Clone, Copy)]
struct Format {
    channels: u16,
    rate_hz: u32,
}

impl Format {
    /// The body of a `fmt ` chunk, if it says 16-bit linear samples.
    fn parse(body: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_le_bytes(body.get(at..at + 2)?.try_into().ok()?));
        let (channels, bits) = (half(2)?, half(14)?);
        let rate_hz = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
        (half(0)? == 1 && bits == 16 && channels > 0).then_some(Self { channels, rate_hz })
    }
}

fn is_tone(samples: &[i16], rate_hz: u32, hz: u32) -> bool {
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let count = samples.len() as f64;
    energy / count >= MEAN_SQUARE_MIN
        && 2.0 * goertzel(samples, rate_hz, hz) / (count * energy) >= SHARE_MIN
}

/// The squared magnitude of the spectrum at one frequency.
fn goertzel(samples: &[i16], rate_hz: u32, hz: u32) -> f64 {
    let turn = 2.0 * (TAU * f64::from(hz) / f64::from(rate_hz)).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in samples {
        (last, before) = (f64::from(sample) + turn * last - before, last);
    }
    last * last + before * before - turn * last * before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, amplitude: f64, count: usize) -> Vec<i16> {
        (0..count).map(|n| (amplitude * (TAU * hz * n as f64 / 8000.0).sin()) as i16).collect()
    }

    fn recording(samples: Vec<i16>) -> Recording {
        Recording { rate_hz: 8000, samples }
    }

    fn wav(lengths_known: bool, channels: u16, data: &[i16]) -> Vec<u8> {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
        wav.extend(channels.to_le_bytes());
        wav.extend(8000_u32.to_le_bytes());
        wav.extend([0; 6]);
        wav.extend(16_u16.to_le_bytes());
        wav.extend(b"data");
        let len = if lengths_known { 2 * data.len() as u32 } else { 0 };
        wav.extend(len.to_le_bytes());
        wav.extend(data.iter().flat_map(|sample| sample.to_le_bytes()));
        wav
    }

    #[test]
    fn a_tone_is_told_from_another_tone() {
        let heard = recording(sine(440.0, 8000.0, 8000));
        assert!(heard.has_tone(440));
        assert!(!heard.has_tone(660));
    }

    #[test]
    fn a_tone_between_silences_is_heard() {
        let mut samples = vec![0; 12_000];
        samples.splice(5000..9800, sine(660.0, 3000.0, 4800));
        assert!(recording(samples).has_tone(660));
    }

    #[test]
    fn silence_and_a_whisper_are_no_tone() {
        assert!(!recording(vec![0; 8000]).has_tone(440));
        assert!(!recording(sine(440.0, 20.0, 8000)).has_tone(440));
        assert!(!recording(Vec::new()).has_tone(440));
    }

    #[test]
    fn a_file_that_is_still_written_to_is_read_to_its_end() {
        let tone = sine(440.0, 8000.0, 8000);
        for lengths_known in [false, true] {
            let found = Recording::parse(&wav(lengths_known, 1, &tone)).unwrap();
            assert_eq!(found, recording(tone.clone()));
        }
    }

    #[test]
    fn of_two_channels_the_first_counts() {
        let found = Recording::parse(&wav(true, 2, &[1, 100, 2, 200])).unwrap();
        assert_eq!(found.samples, [1, 2]);
    }

    #[test]
    fn no_beginning_of_a_file_is_mistaken_for_a_whole_header() {
        let whole = wav(true, 1, &[7]);
        let header = whole.len() - 2;
        for len in 0..header {
            assert_eq!(Recording::parse(&whole[..len]), None, "{len} bytes");
        }
        assert!(Recording::parse(&whole[..header]).is_some());
    }
}
