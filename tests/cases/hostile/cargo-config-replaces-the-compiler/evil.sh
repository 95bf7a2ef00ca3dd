#!/bin/sh
touch /tmp/ignite-evil
