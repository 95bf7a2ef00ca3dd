;; A guest of `wasi:http/incoming-handler` that does what the path asks for, by its first four letters. Memory as in
;; `function.core.wat`.
(module
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.headers" (func $headers (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]fields.get" (func $get (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $body_stream (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.set-status-code"
    (func $set_status (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $response_body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $body_write (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $answer (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
    (func $set_authority (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
    (func $set_path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $send_request (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe" (func $sent (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $received (param i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop_output (param i32)))
  (import "wasi:http/types@0.2.0" "[resource-drop]outgoing-body" (func $drop_body (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))

  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))

  (data (i32.const 16) "x-kind")
  (data (i32.const 32) "wasi")
  (data (i32.const 48) "x-ignite-execution-id")
  (data (i32.const 80) "example.com")
  (data (i32.const 92) "/")
  (data (i32.const 96) "denied")
  (data (i32.const 112) "allowed")
  (data (i32.const 128) "one")
  (data (i32.const 136) "two")

  (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
    (result i32)
    (local $at i32) (local $end i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    ;; What was read before is gone by now; a long body passes through here piece by piece.
    (if (i32.gt_u (local.get $end) (i32.const 131072))
      (then (local.set $at (i32.const 65536)) (local.set $end (i32.add (local.get $at) (local.get $size)))))
    (global.set $heap (local.get $end))
    (local.get $at))

  ;; Begins to answer with `$status`, and gives the stream of the body; its owner is at 6208.
  (func $begin (param $outparam i32) (param $status i32) (result i32)
    (local $fields i32) (local $response i32)
    (local.set $fields (call $fields))
    (call $append (local.get $fields) (i32.const 16) (i32.const 6) (i32.const 32) (i32.const 4) (i32.const 6144))
    (local.set $response (call $response (local.get $fields)))
    (drop (call $set_status (local.get $response) (local.get $status)))
    (call $response_body (local.get $response) (i32.const 6144))
    (i32.store (i32.const 6208) (i32.load offset=4 (i32.const 6144)))
    (call $answer (local.get $outparam) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $body_write (i32.load (i32.const 6208)) (i32.const 6144))
    (i32.load offset=4 (i32.const 6144)))

  ;; Writes at most 4096 bytes; 1 when they were not taken.
  (func $send (param $stream i32) (param $at i32) (param $length i32) (result i32)
    (call $write (local.get $stream) (local.get $at) (local.get $length) (i32.const 6144))
    (i32.load8_u (i32.const 6144)))

  (func $end (param $stream i32)
    (call $drop_output (local.get $stream))
    (call $finish (i32.load (i32.const 6208)) (i32.const 0) (i32.const 0) (i32.const 6144)))

  (func $pause (call $block (call $timer (i64.const 20000000))))

  ;; The body goes back as it comes.
  (func $echo (param $request i32) (param $outparam i32)
    (local $input i32) (local $output i32)
    (call $consume (local.get $request) (i32.const 6144))
    (call $body_stream (i32.load offset=4 (i32.const 6144)) (i32.const 6144))
    (local.set $input (i32.load offset=4 (i32.const 6144)))
    (local.set $output (call $begin (local.get $outparam) (i32.const 201)))
    (block $done (loop $more
      (call $read (local.get $input) (i64.const 4096) (i32.const 6144))
      (br_if $done (i32.load8_u (i32.const 6144)))
      (br_if $done (call $send (local.get $output)
        (i32.load offset=4 (i32.const 6144)) (i32.load offset=8 (i32.const 6144))))
      (br $more)))
    (call $end (local.get $output)))

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $outparam i32)
    (local $what i32) (local $output i32) (local $future i32)
    (call $path (local.get $request) (i32.const 6144))
    (local.set $what (i32.load offset=1 align=1 (i32.load offset=4 (i32.const 6144))))

    ;; echo: the body comes back as it arrives.
    (if (i32.eq (local.get $what) (i32.const 0x6f686365)) (then
      (call $echo (local.get $request) (local.get $outparam)) return))
    ;; path: answers with the path and query.
    (if (i32.eq (local.get $what) (i32.const 0x68746170)) (then
      (i32.store (i32.const 6300) (i32.load offset=4 (i32.const 6144)))
      (i32.store (i32.const 6304) (i32.load offset=8 (i32.const 6144)))
      (local.set $output (call $begin (local.get $outparam) (i32.const 200)))
      (drop (call $send (local.get $output) (i32.load (i32.const 6300)) (i32.load (i32.const 6304))))
      (call $end (local.get $output)) return))
    ;; exec: answers with the header that has the execution's id.
    (if (i32.eq (local.get $what) (i32.const 0x63657865)) (then
      (call $get (call $headers (local.get $request)) (i32.const 48) (i32.const 21) (i32.const 6320))
      (local.set $output (call $begin (local.get $outparam) (i32.const 200)))
      (drop (call $send (local.get $output)
        (i32.load (i32.load (i32.const 6320))) (i32.load offset=4 (i32.load (i32.const 6320)))))
      (call $end (local.get $output)) return))
    ;; none: returns without an answer.
    (if (i32.eq (local.get $what) (i32.const 0x656e6f6e)) (then return))
    ;; code: answers with an error code, `connection-refused`.
    (if (i32.eq (local.get $what) (i32.const 0x65646f63)) (then
      (call $answer (local.get $outparam) (i32.const 1) (i32.const 6)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) return))
    ;; spin: computes for ever.
    (if (i32.eq (local.get $what) (i32.const 0x6e697073)) (then (loop $for_ever (br $for_ever))))
    ;; info: answers with a status that ends nothing.
    (if (i32.eq (local.get $what) (i32.const 0x6f666e69)) (then
      (drop (call $begin (local.get $outparam) (i32.const 100))) return))
    ;; deny: sends a request and tells what became of it.
    (if (i32.eq (local.get $what) (i32.const 0x796e6564)) (then
      (local.set $future (call $request (call $fields)))
      (drop (call $set_authority (local.get $future) (i32.const 1) (i32.const 80) (i32.const 11)))
      (drop (call $set_path (local.get $future) (i32.const 1) (i32.const 92) (i32.const 1)))
      (call $send_request (local.get $future) (i32.const 0) (i32.const 0) (i32.const 6400))
      (local.set $future (i32.load offset=8 (i32.const 6400)))
      (call $block (call $sent (local.get $future)))
      ;; option<result<result<response, error-code>>>, each case eight-byte aligned.
      (call $received (local.get $future) (i32.const 6400))
      (local.set $output (call $begin (local.get $outparam) (i32.const 200)))
      (if (i32.load8_u offset=16 (i32.const 6400))
        (then (drop (call $send (local.get $output) (i32.const 96) (i32.const 6))))
        (else (drop (call $send (local.get $output) (i32.const 112) (i32.const 7)))))
      (call $end (local.get $output)) return))
    ;; stop: a trap after the head, before anything was written.
    (if (i32.eq (local.get $what) (i32.const 0x706f7473)) (then
      (drop (call $begin (local.get $outparam) (i32.const 200))) unreachable))

    (local.set $output (call $begin (local.get $outparam) (i32.const 200)))
    ;; flod: writes until nobody takes it.
    (if (i32.eq (local.get $what) (i32.const 0x646f6c66)) (then
      (loop $more (br_if $more (i32.eqz (call $send (local.get $output) (i32.const 65536) (i32.const 4096)))))
      return))
    (drop (call $send (local.get $output) (i32.const 128) (i32.const 3)))
    (call $pause)
    ;; lost: a trap after a part.
    (if (i32.eq (local.get $what) (i32.const 0x74736f6c)) (then unreachable))
    ;; drop: gives the body up without an end.
    (if (i32.eq (local.get $what) (i32.const 0x706f7264)) (then
      (call $drop_output (local.get $output))
      (call $drop_body (i32.load (i32.const 6208)))
      (call $pause) return))
    ;; slow and all others: two parts with a pause between.
    (drop (call $send (local.get $output) (i32.const 136) (i32.const 3)))
    (call $end (local.get $output)))
)
