#!/bin/sh
zcat /layers/assets/assets/style.css.gz
