//! The macro as a function from tokens to tokens and mistakes.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, ItemFn, ReturnType, Safety, Type};

use crate::signature::{Mistakes, is_entry, parameter_types};

/// The kind of target the handler stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It needs a `main`.
    Binary,
    /// The build adds the `main`, and calls what is written here.
    Library,
}

/// Writes what makes `item` a handler, and tells every mistake in it. The item itself always stays, so that one mistake
/// does not make others.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream, place: Place) -> (TokenStream, Vec<Error>) {
    let mut mistakes = Mistakes::default();
    mistakes.in_arguments(&arguments);
    let function = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            mistakes.in_item(&item, error);
            return (unfinished(&item, place), mistakes.all);
        }
    };
    mistakes.in_attributes(&function.attrs);
    mistakes.in_signature(&function.sig);
    match parameter_types(&function.sig) {
        Some(parameters) if mistakes.all.is_empty() => (finished(&function, parameters, place), Vec::new()),
        _ => (unfinished(&without_mistakes(function).to_token_stream(), place), mistakes.all),
    }
}

/// The item alone; a binary still gets its `main`, or the compiler would ask for one besides.
fn unfinished(item: &TokenStream, place: Place) -> TokenStream {
    let main = (place == Place::Binary).then(|| {
        quote!(
            fn main() {}
        )
    });
    quote!(#item #main)
}

/// The function without what was told to be a mistake and would make the compiler tell it again.
fn without_mistakes(mut function: ItemFn) -> ItemFn {
    function.attrs.retain(|attribute| !is_entry(attribute));
    let signature = &mut function.sig;
    (signature.constness, signature.safety, signature.abi) = (None, Safety::Default, None);
    if signature.ident == "main" {
        signature.ident = Ident::new("handler", signature.ident.span());
    }
    function
}

fn finished(function: &ItemFn, [request, context]: [&Type; 2], place: Place) -> TokenStream {
    let name = &function.sig.ident;
    // At the author's words, so that a wrong type is shown there; resolved as the macro's, so that no lint of the author's
    // looks at it.
    let at = |span: Span| span.resolved_at(Span::call_site());
    let give_request = quote_spanned!(at(request.span())=> <#request as ::ignite::__private::FirstParameter>::give);
    let give_context = quote_spanned!(at(context.span())=> <#context as ::ignite::__private::SecondParameter>::give);
    let output = match &function.sig.output {
        ReturnType::Type(_, output) => at(output.span()),
        ReturnType::Default => at(name.span()),
    };
    // The value gets a name, so that the compiler, which points at arguments, points at the author's type.
    let into_outcome = quote_spanned!(output=> ::ignite::__private::Output::into_outcome(output));
    let call = quote!(#name(#give_request(request), #give_context(context)));
    let handler = if function.sig.asyncness.is_some() {
        quote_spanned!(at(name.span())=> ::ignite::__private::asynchronous(|request, context| async move {
            let output = #call.await;
            #into_outcome
        }))
    } else {
        quote!(::ignite::__private::synchronous(|request, context| {
            let output = #call;
            #into_outcome
        }))
    };
    let main = match place {
        Place::Binary => quote!(fn main()),
        Place::Library => quote!(
            #[doc(hidden)]
            pub fn __ignite_main()
        ),
    };
    quote! {
        #function

        #[doc(hidden)]
        fn __ignite_handler() -> impl ::ignite::__private::Handler {
            #handler
        }

        #main {
            ::ignite::__private::run(__ignite_handler())
        }

        ::ignite::__component!(__ignite_handler);
    }
}

#[cfg(test)]
mod tests;
