;; A guest of the world `ignite:function` that does what the path asks for. The first four letters after the slash count;
;; `$main` lists them. Memory: literals below 4096, the answer at 4096, scratch up to 65536, and a heap that only grows.
(module
  (import "ignite:function/host@1.0.0" "log" (func $log (param i32 i32 i32 i32 i32)))
  (import "ignite:function/host@1.0.0" "start-stream" (func $start_stream (param i32 i32 i32) (result i32)))
  (import "ignite:function/host@1.0.0" "[method]body-stream.write" (func $write (param i32 i32 i32 i32)))
  (import "ignite:function/host@1.0.0" "[static]body-stream.finish" (func $finish (param i32)))
  (import "ignite:function/host@1.0.0" "[resource-drop]body-stream" (func $drop_stream (param i32)))
  (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
  (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
  (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))
  (import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $tcp (param i32 i32)))
  (import "wasi:sockets/udp-create-socket@0.2.0" "create-udp-socket" (func $udp (param i32 i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $print (param i32 i32 i32 i32)))

  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))

  (data (i32.const 16) "x-method")
  (data (i32.const 32) "x-query")
  (data (i32.const 48) "x-execution-id")
  (data (i32.const 64) "x-function-id")
  (data (i32.const 80) "x-organization-id")
  (data (i32.const 112) "x-first-header")
  (data (i32.const 128) "bad header\n")
  (data (i32.const 160) "ValueError")
  (data (i32.const 176) "it is bad")
  (data (i32.const 192) "at line 1")
  (data (i32.const 208) "\ff\fe")
  (data (i32.const 224) "a record")
  (data (i32.const 240) "{\"n\":1}")
  (data (i32.const 256) "one\ntwo\nno end")
  (data (i32.const 288) "part")
  (data (i32.const 304) "noticed")
  (data (i32.const 320) "clean")
  (data (i32.const 336) "dirty")
  (data (i32.const 352) "x-timeout-us")
  (data (i32.const 512) "\nthread '<unnamed>' panicked at src/lib.rs:7:5:\nall is lost\nnote: run with `RUST_BACKTRACE=1`\n")

  (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
    (result i32)
    (local $at i32) (local $end i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (if (i32.gt_u (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (if (i32.eq (i32.const -1)
            (memory.grow (i32.add (i32.const 1) (i32.shr_u
              (i32.sub (local.get $end) (i32.mul (memory.size) (i32.const 65536))) (i32.const 16)))))
          (then unreachable))))
    (global.set $heap (local.get $end))
    (local.get $at))

  ;; One header of the answer: entry `$n` of the list at 8192.
  (func $header (param $n i32) (param $name i32) (param $name_length i32) (param $value i32) (param $length i32)
    (local $at i32)
    (local.set $at (i32.add (i32.const 8192) (i32.mul (local.get $n) (i32.const 16))))
    (i32.store (local.get $at) (local.get $name))
    (i32.store offset=4 (local.get $at) (local.get $name_length))
    (i32.store offset=8 (local.get $at) (local.get $value))
    (i32.store offset=12 (local.get $at) (local.get $length)))

  ;; The answer `complete`, with `$headers` entries of the list at 8192.
  (func $complete (param $status i32) (param $headers i32) (param $body i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 4096) (i32.const 0))
    (i32.store8 offset=4 (i32.const 4096) (i32.const 0))
    (i32.store16 offset=8 (i32.const 4096) (local.get $status))
    (i32.store offset=12 (i32.const 4096) (i32.const 8192))
    (i32.store offset=16 (i32.const 4096) (local.get $headers))
    (i32.store offset=20 (i32.const 4096) (local.get $body))
    (i32.store offset=24 (i32.const 4096) (local.get $length))
    (i32.const 4096))

  (func $streamed (result i32)
    (i32.store8 (i32.const 4096) (i32.const 0))
    (i32.store8 offset=4 (i32.const 4096) (i32.const 1))
    (i32.const 4096))

  (func $failure (param $message i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 4096) (i32.const 1))
    (i32.store offset=4 (i32.const 4096) (i32.const 160))
    (i32.store offset=8 (i32.const 4096) (i32.const 10))
    (i32.store offset=12 (i32.const 4096) (local.get $message))
    (i32.store offset=16 (i32.const 4096) (local.get $length))
    (i32.store offset=20 (i32.const 4096) (i32.const 192))
    (i32.store offset=24 (i32.const 4096) (i32.const 9))
    (i32.const 4096))

  ;; Writes a part; 1 when it was not taken.
  (func $send (param $stream i32) (param $at i32) (param $length i32) (result i32)
    (call $write (local.get $stream) (local.get $at) (local.get $length) (i32.const 6144))
    (i32.load8_u (i32.const 6144)))

  (func $echo (param $request i32) (result i32)
    (call $header (i32.const 0) (i32.const 16) (i32.const 8)
      (i32.load offset=24 (local.get $request)) (i32.load offset=28 (local.get $request)))
    (call $header (i32.const 1) (i32.const 32) (i32.const 7)
      (i32.load offset=40 (local.get $request)) (i32.load offset=44 (local.get $request)))
    (call $header (i32.const 2) (i32.const 48) (i32.const 14)
      (i32.load offset=0 (local.get $request)) (i32.load offset=4 (local.get $request)))
    (call $header (i32.const 3) (i32.const 64) (i32.const 13)
      (i32.load offset=8 (local.get $request)) (i32.load offset=12 (local.get $request)))
    (call $header (i32.const 4) (i32.const 80) (i32.const 17)
      (i32.load offset=16 (local.get $request)) (i32.load offset=20 (local.get $request)))
    ;; Whether there is time left, as one letter.
    (i32.store8 (i32.const 6200) (select (i32.const 0x79) (i32.const 0x6e)
      (i64.gt_u (i64.load offset=64 (local.get $request)) (i64.const 0))))
    (call $header (i32.const 5) (i32.const 352) (i32.const 12) (i32.const 6200) (i32.const 1))
    ;; The value of the first header, where there is one.
    (if (i32.load offset=52 (local.get $request))
      (then (call $header (i32.const 6) (i32.const 112) (i32.const 14)
        (i32.load offset=8 (i32.load offset=48 (local.get $request)))
        (i32.load offset=12 (i32.load offset=48 (local.get $request))))))
    (call $complete (i32.const 200)
      (select (i32.const 7) (i32.const 6) (i32.load offset=52 (local.get $request)))
      (i32.load offset=56 (local.get $request)) (i32.load offset=60 (local.get $request))))

  (func $deep (param $n i32) (result i32)
    (i32.add (call $deep (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))

  ;; The environment as `NAME=value` lines.
  (func $variables (result i32)
    (local $entry i32) (local $left i32) (local $out i32) (local $start i32)
    (call $environment (i32.const 6144))
    (local.set $entry (i32.load (i32.const 6144)))
    (local.set $left (i32.load offset=4 (i32.const 6144)))
    (local.set $start (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4096)))
    (local.set $out (local.get $start))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $left)))
      (memory.copy (local.get $out) (i32.load (local.get $entry)) (i32.load offset=4 (local.get $entry)))
      (local.set $out (i32.add (local.get $out) (i32.load offset=4 (local.get $entry))))
      (i32.store8 (local.get $out) (i32.const 0x3d))
      (local.set $out (i32.add (local.get $out) (i32.const 1)))
      (memory.copy (local.get $out) (i32.load offset=8 (local.get $entry)) (i32.load offset=12 (local.get $entry)))
      (local.set $out (i32.add (local.get $out) (i32.load offset=12 (local.get $entry))))
      (i32.store8 (local.get $out) (i32.const 0x0a))
      (local.set $out (i32.add (local.get $out) (i32.const 1)))
      (local.set $entry (i32.add (local.get $entry) (i32.const 16)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $next)))
    (call $complete (i32.const 200) (i32.const 0) (local.get $start) (i32.sub (local.get $out) (local.get $start))))

  ;; Whether the last 64 pages are as a fresh instance has them; then dirties them all.
  (func $leak (result i32)
    (local $at i32) (local $end i32) (local $dirty i32)
    (local.set $at (i32.mul (memory.grow (i32.const 64)) (i32.const 65536)))
    (local.set $end (i32.add (local.get $at) (i32.const 4194304)))
    (loop $next
      (local.set $dirty (i32.or (local.get $dirty) (i32.load (local.get $at))))
      (i32.store (local.get $at) (i32.const 0x5a5a5a5a))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    ;; And a global, a byte of the image, and one between.
    (local.set $dirty (i32.or (local.get $dirty) (i32.load8_u (i32.const 60000))))
    (local.set $dirty (i32.or (local.get $dirty) (i32.ne (i32.load8_u (i32.const 16)) (i32.const 0x78))))
    (local.set $dirty (i32.or (local.get $dirty) (i32.gt_u (global.get $heap) (i32.const 70000))))
    (i32.store8 (i32.const 60000) (i32.const 1))
    (i32.store8 (i32.const 16) (i32.const 1))
    (global.set $heap (i32.const 100000))
    (call $complete (i32.const 200) (i32.const 0)
      (select (i32.const 336) (i32.const 320) (local.get $dirty)) (i32.const 5)))

  (func $main (export "handle") (param $request i32) (result i32)
    (local $path i32) (local $what i32) (local $stream i32) (local $n i32)
    (local.set $path (i32.load offset=32 (local.get $request)))
    (local.set $what (i32.load offset=1 align=1 (local.get $path)))

    ;; echo: the request comes back.
    (if (i32.eq (local.get $what) (i32.const 0x6f686365)) (then (return (call $echo (local.get $request)))))
    ;; spin: computes for ever.
    (if (i32.eq (local.get $what) (i32.const 0x6e697073)) (then (loop $for_ever (br $for_ever))))
    ;; busy: computes for as many rounds as the body's first four bytes say, then answers.
    (if (i32.eq (local.get $what) (i32.const 0x79737562)) (then
      (local.set $n (i32.load align=1 (i32.load offset=56 (local.get $request))))
      (loop $more
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if $more (local.get $n)))
      (return (call $complete (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0)))))
    ;; grow: takes memory for ever, and aborts when there is no more.
    (if (i32.eq (local.get $what) (i32.const 0x776f7267)) (then
      (loop $more
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $more))))
    ;; hold: takes as many pages as the body's first four bytes say, and keeps them for an hour.
    (if (i32.eq (local.get $what) (i32.const 0x646c6f68)) (then
      (if (i32.eq (i32.const -1) (memory.grow (i32.load align=1 (i32.load offset=56 (local.get $request)))))
        (then (return (call $failure (i32.const 176) (i32.const 9)))))
      (call $block (call $timer (i64.const 3600000000000)))))
    ;; trap: panics as Rust does.
    (if (i32.eq (local.get $what) (i32.const 0x70617274)) (then
      (call $print (call $stderr) (i32.const 512) (i32.const 94) (i32.const 6144))
      unreachable))
    ;; fail: returns a failure.
    (if (i32.eq (local.get $what) (i32.const 0x6c696166)) (then (return (call $failure (i32.const 176) (i32.const 9)))))
    ;; utf8: returns a failure whose message is no text.
    (if (i32.eq (local.get $what) (i32.const 0x38667475)) (then (return (call $failure (i32.const 208) (i32.const 2)))))
    ;; deep: recurs for ever.
    (if (i32.eq (local.get $what) (i32.const 0x70656564)) (then (drop (call $deep (i32.const 0)))))
    ;; exit: ends its process.
    (if (i32.eq (local.get $what) (i32.const 0x74697865)) (then (call $exit (i32.const 1))))
    ;; logs: logs a record, prints two lines and one without an end.
    (if (i32.eq (local.get $what) (i32.const 0x73676f6c)) (then
      (call $log (i32.const 3) (i32.const 224) (i32.const 8) (i32.const 240) (i32.const 7))
      (call $print (call $stdout) (i32.const 256) (i32.const 14) (i32.const 6144))
      (return (call $complete (i32.const 204) (i32.const 0) (i32.const 0) (i32.const 0)))))
    ;; envs: answers with its environment.
    (if (i32.eq (local.get $what) (i32.const 0x73766e65)) (then (return (call $variables))))
    ;; deny: whether it has neither directories nor sockets.
    (if (i32.eq (local.get $what) (i32.const 0x796e6564)) (then
      (call $directories (i32.const 6144))
      (call $tcp (i32.const 0) (i32.const 6160))
      (call $udp (i32.const 0) (i32.const 6176))
      (return (call $complete (i32.const 200) (i32.const 0)
        (select (i32.const 320) (i32.const 336) (i32.and
          (i32.eqz (i32.load offset=4 (i32.const 6144)))
          (i32.and (i32.load8_u (i32.const 6160)) (i32.load8_u (i32.const 6176))))) (i32.const 5)))))
    ;; leak: looks for what an earlier instance left.
    (if (i32.eq (local.get $what) (i32.const 0x6b61656c)) (then (return (call $leak))))
    ;; wait: waits for as many nanoseconds as the body's first eight bytes say, then answers.
    (if (i32.eq (local.get $what) (i32.const 0x74696177)) (then
      (call $block (call $timer (i64.load align=1 (i32.load offset=56 (local.get $request)))))
      (return (call $complete (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0)))))
    ;; size: answers with as many bytes as the body's first four bytes say.
    (if (i32.eq (local.get $what) (i32.const 0x657a6973)) (then
      (local.set $n (i32.load align=1 (i32.load offset=56 (local.get $request))))
      (return (call $complete (i32.const 200) (i32.const 0)
        (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $n)) (local.get $n)))))
    ;; stat: answers with a status that is none.
    (if (i32.eq (local.get $what) (i32.const 0x74617473)) (then
      (return (call $complete (i32.const 99) (i32.const 0) (i32.const 0) (i32.const 0)))))
    ;; head: answers with a header that is none.
    (if (i32.eq (local.get $what) (i32.const 0x64616568)) (then
      (call $header (i32.const 0) (i32.const 128) (i32.const 11) (i32.const 16) (i32.const 8))
      (return (call $complete (i32.const 200) (i32.const 1) (i32.const 0) (i32.const 0)))))
    ;; clam: claims to have streamed.
    (if (i32.eq (local.get $what) (i32.const 0x6d616c63)) (then (return (call $streamed))))

    ;; All below stream, with status 201 and one header.
    (call $header (i32.const 0) (i32.const 16) (i32.const 8) (i32.const 288) (i32.const 4))
    (local.set $stream (call $start_stream (i32.const 201) (i32.const 8192) (i32.const 1)))
    ;; stop: a trap before anything was written.
    (if (i32.eq (local.get $what) (i32.const 0x706f7473)) (then unreachable))
    ;; flod, deaf: 64 KiB at a time until nobody takes them; then one notices and stops, the other spins.
    (if (i32.or (i32.eq (local.get $what) (i32.const 0x646f6c66)) (i32.eq (local.get $what) (i32.const 0x66616564))) (then
      (loop $more (br_if $more (i32.eqz (call $send (local.get $stream) (i32.const 0) (i32.const 65536)))))
      (if (i32.eq (local.get $what) (i32.const 0x66616564)) (then (loop $for_ever (br $for_ever))))
      (call $log (i32.const 2) (i32.const 304) (i32.const 7) (i32.const 0) (i32.const 0))
      (return (call $streamed))))
    (drop (call $send (local.get $stream) (i32.const 288) (i32.const 4)))
    ;; lost: a trap after a part, given a moment for it to be read.
    (if (i32.eq (local.get $what) (i32.const 0x74736f6c)) (then
      (call $block (call $timer (i64.const 20000000)))
      unreachable))
    ;; drop: gives the stream up without an end.
    (if (i32.eq (local.get $what) (i32.const 0x706f7264)) (then
      (call $drop_stream (local.get $stream))
      (call $block (call $timer (i64.const 20000000)))
      (return (call $streamed))))
    ;; open: returns without an end.
    (if (i32.eq (local.get $what) (i32.const 0x6e65706f)) (then (return (call $streamed))))
    ;; twic: begins a second answer.
    (if (i32.eq (local.get $what) (i32.const 0x63697774)) (then
      (call $block (call $timer (i64.const 20000000)))
      (drop (call $start_stream (i32.const 200) (i32.const 0) (i32.const 0)))))
    ;; strm and all others: the request's body once more, in one part, and the end.
    (drop (call $send (local.get $stream)
      (i32.load offset=56 (local.get $request)) (i32.load offset=60 (local.get $request))))
    (call $finish (local.get $stream))
    ;; both: returns an answer as well.
    (if (i32.eq (local.get $what) (i32.const 0x68746f62)) (then
      (call $block (call $timer (i64.const 20000000)))
      (return (call $complete (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0)))))
    ;; long: works on after its answer, then says so.
    (if (i32.eq (local.get $what) (i32.const 0x676e6f6c)) (then
      (call $block (call $timer (i64.const 20000000)))
      (call $log (i32.const 2) (i32.const 304) (i32.const 7) (i32.const 0) (i32.const 0))))
    (call $streamed))
)
