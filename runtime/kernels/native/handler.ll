; What XLA calls: a handler of its foreign function interface (xla/ffi/api/c_api.h, version 0.1).
;
; The work is @tasks tasks, @task(left, right, result, number), which may run in any order and at once. The handler asks
; XLA's threads to help and takes tasks itself. Whoever comes takes the next number until none is left. The handler
; waits for tasks that somebody has begun, never for a helper that has not: all threads may be handlers that wait. A helper may
; therefore come when all is over, so what they share is freed by whoever leaves last.

%Shared = type { i64, i64, i64, ptr, ptr, ptr }  ; next task, tasks done, who may still come, left, right, result

declare ptr @malloc(i64)
declare void @free(ptr)
declare i32 @sched_yield()
declare i32 @madvise(ptr, i64, i32)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)

define internal void @work(ptr %shared) noinline {
  %left.at = getelementptr %Shared, ptr %shared, i32 0, i32 3
  %left = load ptr, ptr %left.at
  %right.at = getelementptr %Shared, ptr %shared, i32 0, i32 4
  %right = load ptr, ptr %right.at
  %result.at = getelementptr %Shared, ptr %shared, i32 0, i32 5
  %result = load ptr, ptr %result.at
  %done = getelementptr %Shared, ptr %shared, i32 0, i32 1
  %tasks = load i64, ptr @tasks
  br label %take
take:
  %number = atomicrmw add ptr %shared, i64 1 acq_rel
  %is.left = icmp slt i64 %number, %tasks
  br i1 %is.left, label %run, label %leave
run:
  call void @task(ptr %left, ptr %right, ptr %result, i64 %number)
  atomicrmw add ptr %done, i64 1 acq_rel
  br label %take
leave:
  ret void
}

define internal void @leave(ptr %shared) {
  %users = getelementptr %Shared, ptr %shared, i32 0, i32 2
  %before = atomicrmw sub ptr %users, i64 1 acq_rel
  %is.last = icmp eq i64 %before, 1
  br i1 %is.last, label %last, label %end
last:
  call void @free(ptr %shared)
  ret void
end:
  ret void
}

define internal void @help(ptr %shared) {
  call void @work(ptr %shared)
  call void @leave(ptr %shared)
  ret void
}

%Version = type { i64, ptr, i32, i32 }                                  ; size, extension, major, minor
%Metadata = type { i64, %Version, i32, i64 }                            ; size, version, traits, state
%Extension = type { i64, i32, ptr, ptr }                                ; size, kind, next, metadata
%Buffers = type { i64, ptr, i64, ptr, ptr }                             ; size, extension, how many, kinds, %Buffer each
%Buffer = type { i64, ptr, i32, ptr, i64, ptr }                         ; size, extension, dtype, data, rank, extents
%Frame = type { i64, ptr, ptr, ptr, i32, %Buffers, %Buffers }           ; size, extension, functions, context, stage, arguments, results
%Functions = type { i64, ptr, %Version, ptr, [11 x ptr], ptr, ptr }     ; ..., schedule, number of threads
%Threads = type { i64, ptr, ptr, ptr }                                  ; size, extension, context, number
%Schedule = type { i64, ptr, ptr, ptr, ptr }                            ; size, extension, context, task, its data

define ptr @handler(ptr %frame) {
  %extension.at = getelementptr %Frame, ptr %frame, i32 0, i32 1
  %extension = load ptr, ptr %extension.at
  %is.question = icmp ne ptr %extension, null
  br i1 %is.question, label %describe, label %start

describe:                                                               ; XLA asks what the handler is written for
  %metadata.at = getelementptr %Extension, ptr %extension, i32 0, i32 3
  %metadata = load ptr, ptr %metadata.at
  %major = getelementptr %Metadata, ptr %metadata, i32 0, i32 1, i32 2
  store i32 0, ptr %major
  %minor = getelementptr %Metadata, ptr %metadata, i32 0, i32 1, i32 3
  store i32 1, ptr %minor
  %traits = getelementptr %Metadata, ptr %metadata, i32 0, i32 2
  store i32 0, ptr %traits
  ret ptr null

start:
  %functions.at = getelementptr %Frame, ptr %frame, i32 0, i32 2
  %functions = load ptr, ptr %functions.at
  %context.at = getelementptr %Frame, ptr %frame, i32 0, i32 3
  %context = load ptr, ptr %context.at
  %left = call ptr @data(ptr %frame, i32 5, i64 0)
  %right = call ptr @data(ptr %frame, i32 5, i64 1)
  %result = call ptr @data(ptr %frame, i32 6, i64 0)
  call void @advise(ptr %result)
  %threads = alloca i64
  store i64 1, ptr %threads
  %asked = alloca %Threads
  store %Threads { i64 32, ptr null, ptr null, ptr null }, ptr %asked
  %asked.context = getelementptr %Threads, ptr %asked, i32 0, i32 2
  store ptr %context, ptr %asked.context
  %asked.number = getelementptr %Threads, ptr %asked, i32 0, i32 3
  store ptr %threads, ptr %asked.number
  %ask.at = getelementptr %Functions, ptr %functions, i32 0, i32 6
  %ask = load ptr, ptr %ask.at
  %asking = call ptr %ask(ptr %asked)
  %number = load i64, ptr %threads
  %tasks = load i64, ptr @tasks
  %useful = call i64 @llvm.smin.i64(i64 %number, i64 %tasks)
  %others = sub i64 %useful, 1
  %helpers = call i64 @llvm.smax.i64(i64 %others, i64 0)
  %users = add i64 %helpers, 1
  %shared = call ptr @malloc(i64 48)
  store i64 0, ptr %shared
  %done = getelementptr %Shared, ptr %shared, i32 0, i32 1
  store i64 0, ptr %done
  %users.at = getelementptr %Shared, ptr %shared, i32 0, i32 2
  store i64 %users, ptr %users.at
  %left.at = getelementptr %Shared, ptr %shared, i32 0, i32 3
  store ptr %left, ptr %left.at
  %right.at = getelementptr %Shared, ptr %shared, i32 0, i32 4
  store ptr %right, ptr %right.at
  %result.at = getelementptr %Shared, ptr %shared, i32 0, i32 5
  store ptr %result, ptr %result.at
  %order = alloca %Schedule
  store %Schedule { i64 40, ptr null, ptr null, ptr @help, ptr null }, ptr %order
  %order.context = getelementptr %Schedule, ptr %order, i32 0, i32 2
  store ptr %context, ptr %order.context
  %order.data = getelementptr %Schedule, ptr %order, i32 0, i32 4
  store ptr %shared, ptr %order.data
  %schedule.at = getelementptr %Functions, ptr %functions, i32 0, i32 5
  %schedule = load ptr, ptr %schedule.at
  br label %call
call:
  %called = phi i64 [0, %start], [%next, %helper]
  %are.more = icmp slt i64 %called, %helpers
  br i1 %are.more, label %helper, label %begin
helper:
  %refused = call ptr %schedule(ptr %order)
  %next = add i64 %called, 1
  %is.refused = icmp ne ptr %refused, null
  br i1 %is.refused, label %alone, label %call
alone:                                                                  ; no threads: this one does it all
  %absent = sub i64 %helpers, %called
  atomicrmw sub ptr %users.at, i64 %absent acq_rel
  br label %begin
begin:
  call void @work(ptr %shared)
  br label %wait
wait:
  %finished = load atomic i64, ptr %done acquire, align 8
  %is.over = icmp sge i64 %finished, %tasks
  br i1 %is.over, label %over, label %yield
yield:
  call i32 @sched_yield()
  br label %wait
over:
  call void @leave(ptr %shared)
  ret ptr null
}

define internal ptr @data(ptr %frame, i32 %of, i64 %number) alwaysinline {
  %is.result = icmp eq i32 %of, 6
  %arguments = getelementptr %Frame, ptr %frame, i32 0, i32 5, i32 4
  %results = getelementptr %Frame, ptr %frame, i32 0, i32 6, i32 4
  %buffers.at = select i1 %is.result, ptr %results, ptr %arguments
  %buffers = load ptr, ptr %buffers.at
  %buffer.at = getelementptr ptr, ptr %buffers, i64 %number
  %buffer = load ptr, ptr %buffer.at
  %data.at = getelementptr %Buffer, ptr %buffer, i32 0, i32 3
  %data = load ptr, ptr %data.at
  ret ptr %data
}

; A large result is often memory that nobody has touched. Asked for in pages of 2 MiB (Linux: MADV_HUGEPAGE), the system
; clears it several times faster.
define internal void @advise(ptr %result) {
  %bytes = load i64, ptr @bytes
  %first = ptrtoint ptr %result to i64
  %end = add i64 %first, %bytes
  %beyond = add i64 %first, 2097151
  %start = and i64 %beyond, -2097152
  %stop = and i64 %end, -2097152
  %length = sub i64 %stop, %start
  %is.large = icmp sgt i64 %length, 0
  br i1 %is.large, label %large, label %small
large:
  %pages = inttoptr i64 %start to ptr
  call i32 @madvise(ptr %pages, i64 %length, i32 14)
  ret void
small:
  ret void
}
