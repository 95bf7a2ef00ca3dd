//! From a component's bytes, or machine code made of them earlier, to something that can be instantiated.

use std::hash::{BuildHasher as _, RandomState};

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::config::WasmError;
use crate::contract::{self, FunctionPre};
use crate::offers;
use crate::state::State;

/// A component that is linked and ready to be instantiated, by the kind of its handler.
pub(crate) enum Handler {
    /// `handle` of our own world.
    Function(FunctionPre<State>),
    /// `wasi:http/incoming-handler`.
    Http(ProxyPre<State>),
}

/// Compiles `wasm`.
pub(crate) fn compile(engine: &Engine, wasm: &[u8]) -> Result<Component, WasmError> {
    // Eight bytes: `\0asm`, then version and layer; components are of layer 1.
    match wasm {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => {}
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => {
            return Err(WasmError::NotAComponent { found: "a core WebAssembly module" });
        }
        [0x7f, b'E', b'L', b'F', ..] => return Err(WasmError::NotAComponent { found: "native code" }),
        _ => return Err(WasmError::NotAComponent { found: "something else" }),
    }
    Component::from_binary(engine, wasm).map_err(|error| WasmError::Invalid { reason: format!("{error:#}") })
}

/// Links `component` with what `linker`, made for the same engine by [`linker`], offers; or tells everything it lacks.
pub(crate) fn link(component: &Component, linker: &Linker<State>) -> Result<Handler, WasmError> {
    let engine = component.engine();
    let kind = find_handler(component)?;
    let ty = component.component_type();
    let missing: Vec<String> = ty
        .imports(engine)
        // A world that uses types of an interface imports them by themselves too; they ask nothing of a host.
        .filter(|(name, import)| !matches!(import.ty, ComponentItem::Type(_)) && !offers::is_offered(name))
        .map(|(name, _)| name.to_owned())
        .collect();
    if !missing.is_empty() {
        return Err(WasmError::MissingImports { imports: missing });
    }
    let mismatch = |error: wasmtime::Error| WasmError::Mismatch { reason: format!("{error:#}") };
    let pre = linker.instantiate_pre(component).map_err(mismatch)?;
    match kind {
        Kind::Function => FunctionPre::new(pre).map(Handler::Function).map_err(mismatch),
        Kind::Http => ProxyPre::new(pre).map(Handler::Http).map_err(mismatch),
    }
}

enum Kind {
    Function,
    Http,
}

/// Which handler the component exports. Our own comes first: a component with both was made for this host.
fn find_handler(component: &Component) -> Result<Kind, WasmError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(component.engine()).map(|(name, _)| name).collect();
    if exports.contains(&"handle") {
        Ok(Kind::Function)
    } else if exports.iter().any(|name| offers::is_incoming_handler(name)) {
        Ok(Kind::Http)
    } else {
        Err(WasmError::NoHandler { exports: exports.into_iter().map(str::to_owned).collect() })
    }
}

/// Two interfaces as `wasmtime-wasi` names them. Under other versions its own functions would serve, and only be slower.
const MONOTONIC_CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.12";
const INSECURE_SEED: &str = "wasi:random/insecure-seed@0.2.12";

/// What a guest seeds its hash maps with: nobody outside can guess it, and each asking gets another.
fn insecure_seed() -> (u64, u64) {
    let state = RandomState::new();
    (state.hash_one(0), state.hash_one(1))
}

/// Everything this host offers. What a component does not import costs it nothing.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>, WasmError> {
    let mut linker = Linker::new(engine);
    let mut add = || -> wasmtime::Result<()> {
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        contract::host_interface::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        // What nearly every guest asks for in each execution, the time by our SDK and the seed by its hash maps, is
        // answered without the rest of what WASI needs.
        linker.allow_shadowing(true);
        let now = |store: StoreContextMut<'_, State>, (): ()| Ok((store.data().clock_ns(),));
        linker.instance(MONOTONIC_CLOCK)?.func_wrap("now", now)?;
        let seed = |_: StoreContextMut<'_, State>, (): ()| Ok((insecure_seed(),));
        linker.instance(INSECURE_SEED)?.func_wrap("insecure-seed", seed)?;
        linker.allow_shadowing(false);
        Ok(())
    };
    add().map_err(|error| WasmError::Mismatch { reason: format!("{error:#}") })?;
    Ok(linker)
}
