;; What makes a component of the world `ignite:function` of a core module, which the tests put in place of the braces.
;; Made once by `wasm-tools component new` from a module with these imports and exports, and printed.
(component
  (type $ty-wasi:io/error@0.2.0
    (instance
      (export "error" (type (sub resource)))
    )
  )
  (import "wasi:io/error@0.2.0" (instance $wasi:io/error@0.2.0 (type $ty-wasi:io/error@0.2.0)))
  (type $ty-wasi:io/poll@0.2.0
    (instance
      (export "pollable" (type (sub resource)))
      (type (borrow 0))
      (type (func (param "self" 1)))
      (export "[method]pollable.block" (func (type 2)))
    )
  )
  (import "wasi:io/poll@0.2.0" (instance $wasi:io/poll@0.2.0 (type $ty-wasi:io/poll@0.2.0)))
  (alias export $wasi:io/error@0.2.0 "error" (type $error))
  (type $ty-wasi:io/streams@0.2.0
    (instance
      (export "output-stream" (type (sub resource)))
      (alias outer 1 $error (type))
      (export "error" (type (eq 1)))
      (type (own 2))
      (type (variant (case "last-operation-failed" 3) (case "closed")))
      (export "stream-error" (type (eq 4)))
      (type (borrow 0))
      (type (list u8))
      (type (result (error 5)))
      (type (func (param "self" 6) (param "contents" 7) (result 8)))
      (export "[method]output-stream.blocking-write-and-flush" (func (type 9)))
    )
  )
  (import "wasi:io/streams@0.2.0" (instance $wasi:io/streams@0.2.0 (type $ty-wasi:io/streams@0.2.0)))
  (type $ty-wasi:filesystem/types@0.2.0
    (instance
      (export "descriptor" (type (sub resource)))
    )
  )
  (import "wasi:filesystem/types@0.2.0" (instance $wasi:filesystem/types@0.2.0 (type $ty-wasi:filesystem/types@0.2.0)))
  (alias export $wasi:filesystem/types@0.2.0 "descriptor" (type $descriptor))
  (type $ty-wasi:filesystem/preopens@0.2.0
    (instance
      (alias outer 1 $descriptor (type))
      (export "descriptor" (type (eq 0)))
      (type (own 1))
      (type (tuple 2 string))
      (type (list 3))
      (type (func (result 4)))
      (export "get-directories" (func (type 5)))
    )
  )
  (import "wasi:filesystem/preopens@0.2.0" (instance $wasi:filesystem/preopens@0.2.0 (type $ty-wasi:filesystem/preopens@0.2.0)))
  (type $ty-wasi:sockets/network@0.2.0
    (instance
      (type (enum "ipv4" "ipv6"))
      (export "ip-address-family" (type (eq 0)))
      (type (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure" "permanent-resolver-failure"))
      (export "error-code" (type (eq 2)))
    )
  )
  (import "wasi:sockets/network@0.2.0" (instance $wasi:sockets/network@0.2.0 (type $ty-wasi:sockets/network@0.2.0)))
  (alias export $wasi:io/poll@0.2.0 "pollable" (type $pollable))
  (type $ty-wasi:clocks/monotonic-clock@0.2.0
    (instance
      (type u64)
      (export "duration" (type (eq 0)))
      (alias outer 1 $pollable (type))
      (export "pollable" (type (eq 2)))
      (type (own 3))
      (type (func (param "when" 1) (result 4)))
      (export "subscribe-duration" (func (type 5)))
    )
  )
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $wasi:clocks/monotonic-clock@0.2.0 (type $ty-wasi:clocks/monotonic-clock@0.2.0)))
  (type $ty-wasi:sockets/tcp@0.2.0
    (instance
      (export "tcp-socket" (type (sub resource)))
    )
  )
  (import "wasi:sockets/tcp@0.2.0" (instance $wasi:sockets/tcp@0.2.0 (type $ty-wasi:sockets/tcp@0.2.0)))
  (alias export $wasi:sockets/network@0.2.0 "ip-address-family" (type $ip-address-family))
  (alias export $wasi:sockets/tcp@0.2.0 "tcp-socket" (type $tcp-socket))
  (alias export $wasi:sockets/network@0.2.0 "error-code" (type $error-code))
  (type $ty-wasi:sockets/tcp-create-socket@0.2.0
    (instance
      (alias outer 1 $ip-address-family (type))
      (export "ip-address-family" (type (eq 0)))
      (alias outer 1 $tcp-socket (type))
      (export "tcp-socket" (type (eq 2)))
      (alias outer 1 $error-code (type))
      (export "error-code" (type (eq 4)))
      (type (own 3))
      (type (result 6 (error 5)))
      (type (func (param "address-family" 1) (result 7)))
      (export "create-tcp-socket" (func (type 8)))
    )
  )
  (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $wasi:sockets/tcp-create-socket@0.2.0 (type $ty-wasi:sockets/tcp-create-socket@0.2.0)))
  (type $ty-wasi:sockets/udp@0.2.0
    (instance
      (export "udp-socket" (type (sub resource)))
    )
  )
  (import "wasi:sockets/udp@0.2.0" (instance $wasi:sockets/udp@0.2.0 (type $ty-wasi:sockets/udp@0.2.0)))
  (alias export $wasi:sockets/network@0.2.0 "ip-address-family" (type $"#type16 ip-address-family" (@name "ip-address-family")))
  (alias export $wasi:sockets/udp@0.2.0 "udp-socket" (type $udp-socket))
  (alias export $wasi:sockets/network@0.2.0 "error-code" (type $"#type18 error-code" (@name "error-code")))
  (type $ty-wasi:sockets/udp-create-socket@0.2.0
    (instance
      (alias outer 1 $"#type16 ip-address-family" (type))
      (export "ip-address-family" (type (eq 0)))
      (alias outer 1 $udp-socket (type))
      (export "udp-socket" (type (eq 2)))
      (alias outer 1 $"#type18 error-code" (type))
      (export "error-code" (type (eq 4)))
      (type (own 3))
      (type (result 6 (error 5)))
      (type (func (param "address-family" 1) (result 7)))
      (export "create-udp-socket" (func (type 8)))
    )
  )
  (import "wasi:sockets/udp-create-socket@0.2.0" (instance $wasi:sockets/udp-create-socket@0.2.0 (type $ty-wasi:sockets/udp-create-socket@0.2.0)))
  (type $ty-wasi:cli/environment@0.2.0
    (instance
      (type (tuple string string))
      (type (list 0))
      (type (func (result 1)))
      (export "get-environment" (func (type 2)))
    )
  )
  (import "wasi:cli/environment@0.2.0" (instance $wasi:cli/environment@0.2.0 (type $ty-wasi:cli/environment@0.2.0)))
  (type $ty-wasi:cli/exit@0.2.0
    (instance
      (type (result))
      (type (func (param "status" 0)))
      (export "exit" (func (type 1)))
    )
  )
  (import "wasi:cli/exit@0.2.0" (instance $wasi:cli/exit@0.2.0 (type $ty-wasi:cli/exit@0.2.0)))
  (alias export $wasi:io/streams@0.2.0 "output-stream" (type $output-stream))
  (type $ty-wasi:cli/stdout@0.2.0
    (instance
      (alias outer 1 $output-stream (type))
      (export "output-stream" (type (eq 0)))
      (type (own 1))
      (type (func (result 2)))
      (export "get-stdout" (func (type 3)))
    )
  )
  (import "wasi:cli/stdout@0.2.0" (instance $wasi:cli/stdout@0.2.0 (type $ty-wasi:cli/stdout@0.2.0)))
  (alias export $wasi:io/streams@0.2.0 "output-stream" (type $"#type24 output-stream" (@name "output-stream")))
  (type $ty-wasi:cli/stderr@0.2.0
    (instance
      (alias outer 1 $"#type24 output-stream" (type))
      (export "output-stream" (type (eq 0)))
      (type (own 1))
      (type (func (result 2)))
      (export "get-stderr" (func (type 3)))
    )
  )
  (import "wasi:cli/stderr@0.2.0" (instance $wasi:cli/stderr@0.2.0 (type $ty-wasi:cli/stderr@0.2.0)))
  (type $ty-ignite:function/types@1.0.0
    (instance
      (type (list u8))
      (type (tuple string 0))
      (export "header" (type (eq 1)))
      (type (list 2))
      (type (record (field "execution-id" string) (field "function-id" string) (field "organization-id" string) (field "method" string) (field "path" string) (field "query" string) (field "headers" 3) (field "body" 0) (field "timeout-us" u64)))
      (export "request" (type (eq 4)))
      (type (record (field "status" u16) (field "headers" 3) (field "body" 0)))
      (export "response" (type (eq 6)))
      (type (variant (case "complete" 7) (case "streamed")))
      (export "outcome" (type (eq 8)))
      (type (record (field "kind" string) (field "message" string) (field "trace" string)))
      (export "failure" (type (eq 10)))
    )
  )
  (import "ignite:function/types@1.0.0" (instance $ignite:function/types@1.0.0 (type $ty-ignite:function/types@1.0.0)))
  (alias export $ignite:function/types@1.0.0 "header" (type $header))
  (type $ty-ignite:function/host@1.0.0
    (instance
      (type (enum "trace" "debug" "info" "warn" "error"))
      (export "level" (type (eq 0)))
      (alias outer 1 $header (type))
      (export "header" (type (eq 2)))
      (export "body-stream" (type (sub resource)))
      (type (enum "cancelled"))
      (export "closed" (type (eq 5)))
      (type (borrow 4))
      (type (list u8))
      (type (result (error 6)))
      (type (func (param "self" 7) (param "chunk" 8) (result 9)))
      (export "[method]body-stream.write" (func (type 10)))
      (type (own 4))
      (type (func (param "this" 11)))
      (export "[static]body-stream.finish" (func (type 12)))
      (type (func (param "level" 1) (param "message" string) (param "fields" string)))
      (export "log" (func (type 13)))
      (type (list 3))
      (type (func (param "status" u16) (param "headers" 14) (result 11)))
      (export "start-stream" (func (type 15)))
    )
  )
  (import "ignite:function/host@1.0.0" (instance $ignite:function/host@1.0.0 (type $ty-ignite:function/host@1.0.0)))
  (alias export $ignite:function/types@1.0.0 "request" (type $request))
  (import "request" (type $"#type30 request" (@name "request") (eq $request)))
  (alias export $ignite:function/types@1.0.0 "outcome" (type $outcome))
  (import "outcome" (type $"#type32 outcome" (@name "outcome") (eq $outcome)))
  (alias export $ignite:function/types@1.0.0 "failure" (type $failure))
  (import "failure" (type $"#type34 failure" (@name "failure") (eq $failure)))
  {{core}}
  (core module $wit-component-shim-module
    (type (func (param i32 i32 i32 i32 i32)))
    (type (func (param i32 i32 i32) (result i32)))
    (type (func (param i32 i32 i32 i32)))
    (type (func (param i32)))
    (type (func (param i32 i32)))
    (table 8 8 funcref)
    (export "0" (func 0))
    (export "1" (func 1))
    (export "2" (func 2))
    (export "3" (func 3))
    (export "4" (func 4))
    (export "5" (func 5))
    (export "6" (func 6))
    (export "7" (func 7))
    (export "$imports" (table 0))
    (func (type 0) (param i32 i32 i32 i32 i32)
      local.get 0
      local.get 1
      local.get 2
      local.get 3
      local.get 4
      i32.const 0
      call_indirect (type 0)
    )
    (func (type 1) (param i32 i32 i32) (result i32)
      local.get 0
      local.get 1
      local.get 2
      i32.const 1
      call_indirect (type 1)
    )
    (func (type 2) (param i32 i32 i32 i32)
      local.get 0
      local.get 1
      local.get 2
      local.get 3
      i32.const 2
      call_indirect (type 2)
    )
    (func (type 3) (param i32)
      local.get 0
      i32.const 3
      call_indirect (type 3)
    )
    (func (type 3) (param i32)
      local.get 0
      i32.const 4
      call_indirect (type 3)
    )
    (func (type 4) (param i32 i32)
      local.get 0
      local.get 1
      i32.const 5
      call_indirect (type 4)
    )
    (func (type 4) (param i32 i32)
      local.get 0
      local.get 1
      i32.const 6
      call_indirect (type 4)
    )
    (func (type 2) (param i32 i32 i32 i32)
      local.get 0
      local.get 1
      local.get 2
      local.get 3
      i32.const 7
      call_indirect (type 2)
    )
  )
  (core module $wit-component-fixup
    (type (func (param i32 i32 i32 i32 i32)))
    (type (func (param i32 i32 i32) (result i32)))
    (type (func (param i32 i32 i32 i32)))
    (type (func (param i32)))
    (type (func (param i32 i32)))
    (import "" "0" (func (type 0)))
    (import "" "1" (func (type 1)))
    (import "" "2" (func (type 2)))
    (import "" "3" (func (type 3)))
    (import "" "4" (func (type 3)))
    (import "" "5" (func (type 4)))
    (import "" "6" (func (type 4)))
    (import "" "7" (func (type 2)))
    (import "" "$imports" (table 8 8 funcref))
    (elem (i32.const 0) func 0 1 2 3 4 5 6 7)
  )
  (core instance $wit-component-shim-instance (instantiate $wit-component-shim-module))
  (alias core export $wit-component-shim-instance "0" (core func $indirect-ignite:function/host@1.0.0-log))
  (alias core export $wit-component-shim-instance "1" (core func $indirect-ignite:function/host@1.0.0-start-stream))
  (alias core export $wit-component-shim-instance "2" (core func $"indirect-ignite:function/host@1.0.0-[method]body-stream.write"))
  (alias export $ignite:function/host@1.0.0 "[static]body-stream.finish" (func $"[static]body-stream.finish"))
  (core func $"[static]body-stream.finish" (canon lower (func $"[static]body-stream.finish")))
  (alias export $ignite:function/host@1.0.0 "body-stream" (type $body-stream))
  (core func $resource.drop (canon resource.drop $body-stream))
  (core instance $ignite:function/host@1.0.0
    (export "log" (func $indirect-ignite:function/host@1.0.0-log))
    (export "start-stream" (func $indirect-ignite:function/host@1.0.0-start-stream))
    (export "[method]body-stream.write" (func $"indirect-ignite:function/host@1.0.0-[method]body-stream.write"))
    (export "[static]body-stream.finish" (func $"[static]body-stream.finish"))
    (export "[resource-drop]body-stream" (func $resource.drop))
  )
  (alias core export $wit-component-shim-instance "3" (core func $indirect-wasi:cli/environment@0.2.0-get-environment))
  (core instance $wasi:cli/environment@0.2.0
    (export "get-environment" (func $indirect-wasi:cli/environment@0.2.0-get-environment))
  )
  (alias export $wasi:cli/exit@0.2.0 "exit" (func $exit))
  (core func $exit (canon lower (func $exit)))
  (core instance $wasi:cli/exit@0.2.0
    (export "exit" (func $exit))
  )
  (alias export $wasi:cli/stdout@0.2.0 "get-stdout" (func $get-stdout))
  (core func $get-stdout (canon lower (func $get-stdout)))
  (core instance $wasi:cli/stdout@0.2.0
    (export "get-stdout" (func $get-stdout))
  )
  (alias export $wasi:cli/stderr@0.2.0 "get-stderr" (func $get-stderr))
  (core func $get-stderr (canon lower (func $get-stderr)))
  (core instance $wasi:cli/stderr@0.2.0
    (export "get-stderr" (func $get-stderr))
  )
  (alias core export $wit-component-shim-instance "4" (core func $indirect-wasi:filesystem/preopens@0.2.0-get-directories))
  (core instance $wasi:filesystem/preopens@0.2.0
    (export "get-directories" (func $indirect-wasi:filesystem/preopens@0.2.0-get-directories))
  )
  (alias core export $wit-component-shim-instance "5" (core func $indirect-wasi:sockets/tcp-create-socket@0.2.0-create-tcp-socket))
  (core instance $wasi:sockets/tcp-create-socket@0.2.0
    (export "create-tcp-socket" (func $indirect-wasi:sockets/tcp-create-socket@0.2.0-create-tcp-socket))
  )
  (alias core export $wit-component-shim-instance "6" (core func $indirect-wasi:sockets/udp-create-socket@0.2.0-create-udp-socket))
  (core instance $wasi:sockets/udp-create-socket@0.2.0
    (export "create-udp-socket" (func $indirect-wasi:sockets/udp-create-socket@0.2.0-create-udp-socket))
  )
  (alias export $wasi:clocks/monotonic-clock@0.2.0 "subscribe-duration" (func $subscribe-duration))
  (core func $subscribe-duration (canon lower (func $subscribe-duration)))
  (core instance $wasi:clocks/monotonic-clock@0.2.0
    (export "subscribe-duration" (func $subscribe-duration))
  )
  (alias export $wasi:io/poll@0.2.0 "[method]pollable.block" (func $"[method]pollable.block"))
  (core func $"[method]pollable.block" (canon lower (func $"[method]pollable.block")))
  (core instance $wasi:io/poll@0.2.0
    (export "[method]pollable.block" (func $"[method]pollable.block"))
  )
  (alias core export $wit-component-shim-instance "7" (core func $"indirect-wasi:io/streams@0.2.0-[method]output-stream.blocking-write-and-flush"))
  (core instance $wasi:io/streams@0.2.0
    (export "[method]output-stream.blocking-write-and-flush" (func $"indirect-wasi:io/streams@0.2.0-[method]output-stream.blocking-write-and-flush"))
  )
  (core instance $main (instantiate $main
      (with "ignite:function/host@1.0.0" (instance $ignite:function/host@1.0.0))
      (with "wasi:cli/environment@0.2.0" (instance $wasi:cli/environment@0.2.0))
      (with "wasi:cli/exit@0.2.0" (instance $wasi:cli/exit@0.2.0))
      (with "wasi:cli/stdout@0.2.0" (instance $wasi:cli/stdout@0.2.0))
      (with "wasi:cli/stderr@0.2.0" (instance $wasi:cli/stderr@0.2.0))
      (with "wasi:filesystem/preopens@0.2.0" (instance $wasi:filesystem/preopens@0.2.0))
      (with "wasi:sockets/tcp-create-socket@0.2.0" (instance $wasi:sockets/tcp-create-socket@0.2.0))
      (with "wasi:sockets/udp-create-socket@0.2.0" (instance $wasi:sockets/udp-create-socket@0.2.0))
      (with "wasi:clocks/monotonic-clock@0.2.0" (instance $wasi:clocks/monotonic-clock@0.2.0))
      (with "wasi:io/poll@0.2.0" (instance $wasi:io/poll@0.2.0))
      (with "wasi:io/streams@0.2.0" (instance $wasi:io/streams@0.2.0))
    )
  )
  (alias core export $main "memory" (core memory $memory))
  (alias core export $wit-component-shim-instance "$imports" (core table $"shim table"))
  (alias export $ignite:function/host@1.0.0 "log" (func $log))
  (alias core export $main "cabi_realloc" (core func $realloc))
  (core func $"#core-func16 indirect-ignite:function/host@1.0.0-log" (@name "indirect-ignite:function/host@1.0.0-log") (canon lower (func $log) (memory $memory) string-encoding=utf8))
  (alias export $ignite:function/host@1.0.0 "start-stream" (func $start-stream))
  (core func $"#core-func17 indirect-ignite:function/host@1.0.0-start-stream" (@name "indirect-ignite:function/host@1.0.0-start-stream") (canon lower (func $start-stream) (memory $memory) string-encoding=utf8))
  (alias export $ignite:function/host@1.0.0 "[method]body-stream.write" (func $"[method]body-stream.write"))
  (core func $"#core-func18 indirect-ignite:function/host@1.0.0-[method]body-stream.write" (@name "indirect-ignite:function/host@1.0.0-[method]body-stream.write") (canon lower (func $"[method]body-stream.write") (memory $memory)))
  (alias export $wasi:cli/environment@0.2.0 "get-environment" (func $get-environment))
  (core func $"#core-func19 indirect-wasi:cli/environment@0.2.0-get-environment" (@name "indirect-wasi:cli/environment@0.2.0-get-environment") (canon lower (func $get-environment) (memory $memory) (realloc $realloc) string-encoding=utf8))
  (alias export $wasi:filesystem/preopens@0.2.0 "get-directories" (func $get-directories))
  (core func $"#core-func20 indirect-wasi:filesystem/preopens@0.2.0-get-directories" (@name "indirect-wasi:filesystem/preopens@0.2.0-get-directories") (canon lower (func $get-directories) (memory $memory) (realloc $realloc) string-encoding=utf8))
  (alias export $wasi:sockets/tcp-create-socket@0.2.0 "create-tcp-socket" (func $create-tcp-socket))
  (core func $"#core-func21 indirect-wasi:sockets/tcp-create-socket@0.2.0-create-tcp-socket" (@name "indirect-wasi:sockets/tcp-create-socket@0.2.0-create-tcp-socket") (canon lower (func $create-tcp-socket) (memory $memory)))
  (alias export $wasi:sockets/udp-create-socket@0.2.0 "create-udp-socket" (func $create-udp-socket))
  (core func $"#core-func22 indirect-wasi:sockets/udp-create-socket@0.2.0-create-udp-socket" (@name "indirect-wasi:sockets/udp-create-socket@0.2.0-create-udp-socket") (canon lower (func $create-udp-socket) (memory $memory)))
  (alias export $wasi:io/streams@0.2.0 "[method]output-stream.blocking-write-and-flush" (func $"[method]output-stream.blocking-write-and-flush"))
  (core func $"#core-func23 indirect-wasi:io/streams@0.2.0-[method]output-stream.blocking-write-and-flush" (@name "indirect-wasi:io/streams@0.2.0-[method]output-stream.blocking-write-and-flush") (canon lower (func $"[method]output-stream.blocking-write-and-flush") (memory $memory)))
  (core instance $fixup-args
    (export "$imports" (table $"shim table"))
    (export "0" (func $"#core-func16 indirect-ignite:function/host@1.0.0-log"))
    (export "1" (func $"#core-func17 indirect-ignite:function/host@1.0.0-start-stream"))
    (export "2" (func $"#core-func18 indirect-ignite:function/host@1.0.0-[method]body-stream.write"))
    (export "3" (func $"#core-func19 indirect-wasi:cli/environment@0.2.0-get-environment"))
    (export "4" (func $"#core-func20 indirect-wasi:filesystem/preopens@0.2.0-get-directories"))
    (export "5" (func $"#core-func21 indirect-wasi:sockets/tcp-create-socket@0.2.0-create-tcp-socket"))
    (export "6" (func $"#core-func22 indirect-wasi:sockets/udp-create-socket@0.2.0-create-udp-socket"))
    (export "7" (func $"#core-func23 indirect-wasi:io/streams@0.2.0-[method]output-stream.blocking-write-and-flush"))
  )
  (core instance $fixup (instantiate $wit-component-fixup
      (with "" (instance $fixup-args))
    )
  )
  (type (result $"#type32 outcome" (error $"#type34 failure")))
  (type (func (param "request" $"#type30 request") (result 36)))
  (alias core export $main "handle" (core func $handle))
  (func $handle (type 37) (canon lift (core func $handle) (memory $memory) (realloc $realloc) string-encoding=utf8))
  (export $"#func15 handle" (@name "handle") "handle" (func $handle))
)
