#![allow(clippy::unwrap_used, reason = "a test")]

use expect_test::{Expect, expect};
use quote::quote;

use super::{Place, TokenStream, expand};

/// Expands without arguments and compares with what a person would write, or with the mistakes.
#[track_caller]
fn check(place: Place, item: TokenStream, expected: &Expect) {
    let (tokens, errors) = expand(TokenStream::new(), item, place);
    if errors.is_empty() {
        expected.assert_eq(&prettyplease::unparse(&syn::parse2(tokens).unwrap()));
    } else {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        expected.assert_eq(&errors.join("\n"));
    }
}

#[test]
fn an_async_handler_in_a_library() {
    let item = quote! {
        /// Greets.
        async fn handler(req: Request, ctx: ignite::Context) -> Result<impl IntoResponse> {
            Ok(greet(req, ctx).await)
        }
    };
    check(
        Place::Library,
        item,
        &expect![[r#"
        /// Greets.
        async fn handler(req: Request, ctx: ignite::Context) -> Result<impl IntoResponse> {
            Ok(greet(req, ctx).await)
        }
        #[doc(hidden)]
        fn __ignite_handler() -> impl ::ignite::__private::Handler {
            ::ignite::__private::asynchronous(|request, context| async move {
                let output = handler(
                        <Request as ::ignite::__private::FirstParameter>::give(request),
                        <ignite::Context as ::ignite::__private::SecondParameter>::give(context),
                    )
                    .await;
                ::ignite::__private::Output::into_outcome(output)
            })
        }
        #[doc(hidden)]
        pub fn __ignite_main() {
            ::ignite::__private::run(__ignite_handler())
        }
        ::ignite::__component!(__ignite_handler);
    "#]],
    );
}

#[test]
fn a_plain_handler_in_a_binary() {
    let item = quote! {
        pub fn handler(_: Request, Named { .. }: Context) -> String {
            String::new()
        }
    };
    check(
        Place::Binary,
        item,
        &expect![[r#"
        pub fn handler(_: Request, Named { .. }: Context) -> String {
            String::new()
        }
        #[doc(hidden)]
        fn __ignite_handler() -> impl ::ignite::__private::Handler {
            ::ignite::__private::synchronous(|request, context| {
                let output = handler(
                    <Request as ::ignite::__private::FirstParameter>::give(request),
                    <Context as ::ignite::__private::SecondParameter>::give(context),
                );
                ::ignite::__private::Output::into_outcome(output)
            })
        }
        fn main() {
            ::ignite::__private::run(__ignite_handler())
        }
        ::ignite::__component!(__ignite_handler);
    "#]],
    );
}

#[test]
fn mistakes_are_told_together() {
    check(
        Place::Library,
        quote!(
            async fn main(req: Request) {}
        ),
        &expect![[r#"
            the handler is named `handler`: write `fn handler` instead of `fn main`
            a handler has two parameters: add `ctx: Context`, or `_ctx: Context` if it is not used
            a handler answers: write `-> Result<impl IntoResponse>` behind its parameters"#]],
    );
}

#[test]
fn a_binary_with_mistakes_keeps_a_main_of_its_own() {
    let (tokens, errors) = expand(
        TokenStream::new(),
        quote!(
            const fn main() {}
        ),
        Place::Binary,
    );
    assert_eq!(errors.len(), 4);
    expect![[r#"
        fn handler() {}
        fn main() {}
    "#]]
    .assert_eq(&prettyplease::unparse(&syn::parse2(tokens).unwrap()));
}

#[test]
fn nothing_that_is_written_there_makes_the_macro_panic() {
    for item in [
        quote!(),
        quote!(fn),
        quote!(
            struct Handler;
        ),
        quote!(
            fn handler();
        ),
        quote!(
            fn handler(self, ...) -> ! {}
        ),
        quote!(
            fn handler<'a, const N: usize>(&'a mut self, [a, b]: [u8; N]) -> impl Fn() -> u8
            where
                'a: 'static,
            {
            }
        ),
        quote!(
            macro_rules! handler {
                () => {};
            }
        ),
        quote!(impl X { fn handler() {} }),
        quote!(1 + 1),
    ] {
        let (_, errors) = expand(quote!(a, b = ), item.clone(), Place::Library);
        assert!(errors.len() > 1, "{item}");
    }
}
