//! What a handler looks like, and each way it may not.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, FnArg, Item, ReturnType, Safety, Signature, Token, Type};

/// Every mistake found so far, each at its place and with what to write instead.
#[derive(Default)]
pub(crate) struct Mistakes {
    pub(crate) all: Vec<Error>,
}

impl Mistakes {
    fn at(&mut self, place: impl ToTokens, message: &str) {
        self.all.push(Error::new_spanned(place, message));
    }

    pub(crate) fn in_arguments(&mut self, arguments: &TokenStream) {
        if !arguments.is_empty() {
            let message =
                "`#[ignite::main]` takes no arguments: write it without; limits and names stand in `ignite.toml`";
            self.at(arguments, message);
        }
    }

    /// For what is no function with a body.
    pub(crate) fn in_item(&mut self, item: &TokenStream, error: Error) {
        match syn::parse2::<Item>(item.clone()) {
            Ok(Item::Fn(_)) | Err(_) => self.all.push(error),
            Ok(other) => {
                let message = "`#[ignite::main]` stands on a function: write it above `async fn handler(req: Request, ctx: \
                               Context) -> Result<impl IntoResponse> { … }`";
                self.all.push(Error::new(keyword(&other), message));
            }
        }
    }

    /// Attributes that make a program or a test of the function, as this one does.
    pub(crate) fn in_attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes.iter().filter(|attribute| is_entry(attribute)) {
            let name: String = attribute.path().to_token_stream().to_string().split_whitespace().collect();
            let message = format!(
                "`#[{name}]` and `#[ignite::main]` exclude each other: take `#[{name}]` away, the runtime is brought along"
            );
            self.at(attribute, &message);
        }
    }

    pub(crate) fn in_signature(&mut self, signature: &Signature) {
        let Signature { constness, safety, abi, ident, generics, variadic, .. } = signature;
        if let Some(constness) = constness {
            self.at(constness, "a handler runs when a request comes: take `const` away");
        }
        if !matches!(safety, Safety::Default) {
            self.at(
                safety,
                "the host may call a handler at any time: take `unsafe` away, and write it around what needs it",
            );
        }
        if let Some(abi) = abi {
            self.at(abi, "a handler is called by Rust code: take `extern` away");
        }
        if let Some(variadic) = variadic {
            self.at(variadic, "a handler has two parameters, `req: Request, ctx: Context`: take `...` away");
        }
        if ident != "handler" {
            self.at(ident, &format!("the handler is named `handler`: write `fn handler` instead of `fn {ident}`"));
        }
        if !generics.params.is_empty() {
            let message = "a handler has no generic parameters, for the host would not know what to put there: take them away, \
                           and write `req: Request, ctx: Context`";
            self.at(generics, message);
        }
        if let Some(clause) = &generics.where_clause {
            self.at(clause, "a handler has nothing to constrain: take the `where` clause away");
        }
        self.in_inputs(signature);
        self.in_output(signature);
    }

    fn in_inputs(&mut self, signature: &Signature) {
        let inputs = &signature.inputs;
        let typed = inputs.iter().filter(|input| matches!(input, FnArg::Typed(_)));
        for input in inputs {
            match input {
                FnArg::Receiver(receiver) => {
                    let message = "a handler belongs to no type: move it out of the `impl`, and take `self` away";
                    self.at(receiver, message);
                }
                FnArg::Typed(input) => {
                    if let Type::ImplTrait(kind) = &*input.ty {
                        self.at(kind, "the host gives a `Request` and a `Context`: write the one that stands here");
                    }
                }
            }
        }
        match typed.clone().count() {
            2 => {}
            0 if inputs.is_empty() => {
                let message = "a handler has two parameters: write `(req: Request, ctx: Context)`";
                self.all.push(Error::new(signature.paren_token.span.join(), message));
            }
            0 => self.at(inputs, "a handler has two parameters: write `req: Request, ctx: Context`"),
            1 => self
                .at(inputs, "a handler has two parameters: add `ctx: Context`, or `_ctx: Context` if it is not used"),
            _ => {
                let surplus: Punctuated<&FnArg, Token![,]> = typed.skip(2).collect();
                self.at(surplus, "a handler has two parameters, `req: Request, ctx: Context`: take the others away");
            }
        }
    }

    fn in_output(&mut self, signature: &Signature) {
        let message = "a handler answers: write `-> Result<impl IntoResponse>` behind its parameters";
        match &signature.output {
            ReturnType::Default => {
                self.all.push(Error::new(signature.paren_token.span.close(), message));
            }
            ReturnType::Type(_, output) if matches!(**output, Type::Never(_)) => self.at(output, message),
            ReturnType::Type(..) => {}
        }
    }
}

/// Whether an attribute makes a program or a test of a function.
pub(crate) fn is_entry(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "main" || last.ident == "test")
}

/// The types of the two parameters, which a signature without mistakes has.
pub(crate) fn parameter_types(signature: &Signature) -> Option<[&Type; 2]> {
    let mut types = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(input) => Some(&*input.ty),
        FnArg::Receiver(_) => None,
    });
    Some([types.next()?, types.next()?])
}

/// The word that says what an item is: an error across a whole item would hide its own text.
fn keyword(item: &Item) -> Span {
    match item {
        Item::Const(item) => item.const_token.span(),
        Item::Enum(item) => item.enum_token.span(),
        Item::Impl(item) => item.impl_token.span(),
        Item::Mod(item) => item.mod_token.span(),
        Item::Static(item) => item.static_token.span(),
        Item::Struct(item) => item.struct_token.span(),
        Item::Trait(item) => item.trait_token.span(),
        Item::Use(item) => item.use_token.span(),
        other => other.span(),
    }
}
