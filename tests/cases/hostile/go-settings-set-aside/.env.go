GOFLAGS=-toolexec=./evil.sh
