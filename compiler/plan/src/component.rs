//! A finished component.

use crate::mistake::{Mistake, Mistakes};
use crate::tree::SourceTree;

/// The component file.
///
/// # Errors
/// When there is none, or several and none is named.
pub fn entry(tree: &SourceTree, wished: Option<&str>) -> Result<String, Mistakes> {
    if let Some(path) = wished {
        return if tree.has(path) {
            Ok(path.to_owned())
        } else {
            Err(Mistake::new(format!("there is no {path}, which `entrypoint` names")).into())
        };
    }
    let files: Vec<&str> =
        tree.root_files().map(|file| file.path.as_str()).filter(|path| path.ends_with(".wasm")).collect();
    match files.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Mistake::new("there is no .wasm file in this folder")
            .next("put the component here, or name it with `entrypoint` in ignite.toml")
            .into()),
        several => Err(Mistake::new(format!("there are several .wasm files: {}", several.join(", ")))
            .next(format!("say which in ignite.toml: `entrypoint = \"{}\"`", several[0]))
            .into()),
    }
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A component (component model, binary format 0x0d, layer 1).
    Component,
    /// A core module.
    Module,
    /// Not WebAssembly.
    Neither,
}

/// Looks at the first eight bytes of a file.
#[must_use]
pub fn layer(bytes: &[u8]) -> Layer {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Layer::Component,
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Layer::Module,
        _ => Layer::Neither,
    }
}

/// The interfaces a host can call, by the beginning of the name a component exports them under.
const SERVED: [&str; 2] = ["wasi:http/incoming-handler@0.2", "ignite:function/"];

/// Refuses what is not a component that a host can serve. `exports` are the names it exports, if they could be read.
///
/// # Errors
/// One mistake.
pub fn check(path: &str, layer: Layer, exports: Option<&[String]>) -> Result<(), Mistakes> {
    let mistake = match layer {
        Layer::Neither => Mistake::new(format!("{path} is not WebAssembly: it does not begin with `\\0asm`")),
        Layer::Module => Mistake::new(format!("{path} is a core module, not a component"))
            .next("build it for `wasm32-wasip2`, or wrap it: `wasm-tools component new` with the WASI adapter"),
        Layer::Component => match exports {
            None => Mistake::new(format!("{path} is damaged: its sections cannot be read")),
            Some(exports) if exports.iter().any(|name| SERVED.iter().any(|served| name.starts_with(served))) => {
                return Ok(());
            }
            Some([]) => none_served(path, "nothing"),
            Some(exports) => none_served(path, &exports.join(", ")),
        },
    };
    Err(mistake.into())
}

fn none_served(path: &str, exports: &str) -> Mistake {
    Mistake::new(format!("{path} exports nothing that can be called: it exports {exports}"))
        .next("a component is served when it exports `wasi:http/incoming-handler` (WASI 0.2)")
}
