# docker build -t fairlead .                       the service, without a browser
# docker build -t fairlead --target chromium .     the same with Chromium, for automations
#
# The image holds one executable and no Postgres: it is for a shared one, named by DATABASE_URL. It runs as an ordinary user.

FROM oven/bun:1.4.5-slim AS build
WORKDIR /src
COPY package.json bun.lock ./
COPY patches patches
# Without what is optional: the Postgres of the packages, and programs for other platforms.
RUN bun install --frozen-lockfile --production --omit=optional --ignore-scripts
COPY drizzle drizzle
COPY scripts/build.ts scripts/build.ts
COPY src src
RUN bun scripts/build.ts --outfile /out/fairlead

FROM debian:bookworm-slim AS runtime
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap ca-certificates tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin fairlead \
    && install --directory --owner=fairlead --group=fairlead --mode=0711 /data
COPY --from=build /out/fairlead /usr/local/bin/fairlead
# Scripts and functions find a Bun, which is the executable itself.
RUN printf '#!/bin/sh\nBUN_BE_BUN=1 exec /usr/local/bin/fairlead "$@"\n' > /usr/local/bin/bun && chmod 755 /usr/local/bin/bun
WORKDIR /app
COPY functions functions
COPY automations automations
COPY containers containers
COPY containers.json ./
ENV HOST=0.0.0.0 PORT=8080 DATA_DIR=/data
EXPOSE 8080
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "fairlead"]
CMD ["serve"]

FROM runtime AS chromium
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium fonts-liberation \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
USER 10001:10001

# The last stage is the one that is built when none is named. The user is a number: by a name Kubernetes cannot tell that it is not root.
FROM runtime AS fairlead
USER 10001:10001
