//! Scales a PNG or JPEG down: `POST /?width=320` with the image as the body.

use std::io::Cursor;

use ignite::prelude::*;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};

/// Longest side of an image that is read, in pixels: a small file can hold a huge image.
const SIDE_MAX: u32 = 8_192;
/// Memory that decoding may take, in bytes.
const DECODED_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Longest side of an image that is made, in pixels.
const RESULT_SIDE_MAX: u32 = 2_048;
const JPEG_QUALITY: u8 = 85;

/// Answers an image with one that fits into `width` and `height` (one of them may be absent), in the same format.
/// Proportions are kept, and nothing is scaled up.
#[ignite::main]
fn handler(req: Request, ctx: Context) -> Result<impl IntoResponse> {
    let (width, height) = (side(&req, "width")?, side(&req, "height")?);
    if width.is_none() && height.is_none() {
        return Err(Error::status(StatusCode::BAD_REQUEST, "say how large: `?width=320`, `?height=200` or both"));
    }
    let format = image::guess_format(req.raw()).ok();
    let Some(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = format else {
        return Err(Error::status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is neither a PNG nor a JPEG"));
    };
    let image = decode(req.raw(), format)?;
    let (width, height) = (width.unwrap_or(u32::MAX), height.unwrap_or(u32::MAX));
    let fits = image.width() <= width && image.height() <= height;
    let resized = if fits { image } else { image.resize(width, height, FilterType::Lanczos3) };
    ctx.log().field("width", resized.width()).field("height", resized.height()).info("resized");
    Ok(Response::new(encode(&resized, format)?)
        .with_header("content-type", format.to_mime_type())
        .with_header("x-image-size", format!("{}x{}", resized.width(), resized.height())))
}

fn side(req: &Request, name: &str) -> Result<Option<u32>> {
    let Some(text) = req.query_param(name) else { return Ok(None) };
    match text.parse() {
        Ok(pixels) if (1..=RESULT_SIDE_MAX).contains(&pixels) => Ok(Some(pixels)),
        _ => Err(Error::status(StatusCode::BAD_REQUEST, format!("`{name}` is a number from 1 to {RESULT_SIDE_MAX}"))),
    }
}

fn decode(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.decode().map_err(|error| {
        let status = match error {
            image::ImageError::Limits(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Error::status(status, format!("the image cannot be read: {error}"))
    })
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if format == ImageFormat::Jpeg {
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))?;
    } else {
        image.write_to(&mut Cursor::new(&mut bytes), format)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use ignite::test::{Reply, context, invoke, request};
    use image::RgbImage;

    use super::*;

    const PHOTO: &[u8] = include_bytes!("../tests/photo.png");

    fn post(query: &str, body: &[u8]) -> Reply {
        invoke(handler, request().path(&format!("/?{query}")).body(body), context())
    }

    fn blank(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        let image = DynamicImage::from(RgbImage::new(width, height));
        image.write_to(&mut Cursor::new(&mut bytes), format).expect("a blank image can be written");
        bytes
    }

    #[test]
    fn proportions_and_format_are_kept() {
        for (query, expected) in
            [("width=40", "40x30"), ("height=15", "20x15"), ("width=40&height=15", "20x15"), ("width=2000", "160x120")]
        {
            let reply = post(query, PHOTO);
            assert_eq!((reply.status, reply.header("x-image-size")), (200, Some(expected)), "{query}");
            assert_eq!(image::guess_format(&reply.body).expect("an image"), ImageFormat::Png);
        }
        let reply = post("width=10", &blank(100, 50, ImageFormat::Jpeg));
        assert_eq!((reply.header("content-type"), reply.header("x-image-size")), (Some("image/jpeg"), Some("10x5")));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let huge = blank(SIDE_MAX + 1, 1, ImageFormat::Png);
        for (query, body, status, words) in [
            ("", PHOTO, 400, "say how large"),
            ("width=0", PHOTO, 400, "from 1 to 2048"),
            ("width=wide", PHOTO, 400, "from 1 to 2048"),
            ("width=10", b"GIF89a".as_slice(), 415, "neither a PNG nor a JPEG"),
            ("width=10", &PHOTO[..PHOTO.len() / 2], 422, "cannot be read"),
            ("width=10", &huge, 413, "cannot be read"),
        ] {
            let reply = post(query, body);
            assert_eq!(reply.status, status, "{query}: {}", reply.text());
            assert!(reply.text().contains(words), "{query}: {}", reply.text());
        }
    }
}
