#!/bin/sh
# needs.sh READELF LIBRARY - fails when the library needs more than libc, libm, pthread and the loader.
needed=$("$1" -d "$2" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
[ -n "$needed" ] || { echo "$2: no NEEDED entries read" >&2; exit 1; }
for library in $needed; do
    case $library in
    libc.so.* | libm.so.* | libpthread.so.* | ld-linux*.so.*) ;;
    *)
        echo "$2 needs $library: only libc, libm and pthread are allowed" >&2
        exit 1
        ;;
    esac
done
